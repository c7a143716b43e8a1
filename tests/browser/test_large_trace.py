import random
import time

from playwright.sync_api import expect

from traffic import send

COUNT = 10_000

SCROLL = """async () => {
    const scroller = document.getElementById("scroller");
    const frames = [];
    let most = 0;
    for (let step = 0; step < 100; step++) {
        scroller.scrollTop += 2400;
        const before = performance.now();
        await new Promise(requestAnimationFrame);
        await new Promise((done) => setTimeout(done));
        frames.push(performance.now() - before);
        most = Math.max(most, document.querySelectorAll("#rows .row").length);
    }
    return { frame: frames.sort((one, other) => one - other)[50], most };
}"""


def grow(scribe, count):
    """Write a trace of `count` spans, the later inside the earlier ones."""
    chance, trace = random.Random(3), scribe.trace()
    open_spans = [(scribe.span(trace, "POST /large", 0, 8000, "gateway", kind="server"), 0, 8000)]
    while len(open_spans) < count:
        parent, start, end = chance.choice(open_spans[-300:])
        begin = chance.uniform(start, (start + end) / 2)
        until = chance.uniform(begin, end)
        service = chance.choice(["gateway", "reader", "checker", "writer"])
        open_spans.append((scribe.span(trace, f"step {len(open_spans)}", begin, until, service, parent), begin, until))
    return trace


def test_ten_thousand_spans_open_at_once_and_only_rows_in_sight_are_drawn(page, server, scribe):
    trace = grow(scribe, COUNT)
    send(server.url, scribe.spans)
    page.goto(f"{server.url}/trace/{trace:032x}")
    began = time.monotonic()
    page.goto(f"{server.url}/trace/{trace:032x}")
    page.locator("#rows .row").first.wait_for()
    took = time.monotonic() - began
    assert took < 30, f"a second on an idle machine, but {took:.1f} s here"
    assert page.locator("#rows .row").count() < 80
    scrolled = page.evaluate(SCROLL)
    assert scrolled["most"] < 80
    assert scrolled["frame"] < 500
    expect(page.locator("#minimap")).to_be_visible()


def test_the_last_span_is_reached_by_its_address_and_by_the_end_key(page, server, scribe):
    trace = grow(scribe, 1000)
    last = scribe.spans[-1]
    send(server.url, scribe.spans)
    page.goto(f"{server.url}/trace/{trace:032x}?span={last.span_id:016x}")
    expect(page.locator("#rows .row[aria-selected=true] b")).to_have_text("step 999")
    expect(page.locator("#rows .row[aria-selected=true]")).to_be_in_viewport()
    page.keyboard.press("End")
    assert page.locator("#scroller").evaluate("it => it.scrollTop + it.clientHeight >= it.scrollHeight - 30")


def test_the_minimap_goes_where_it_is_clicked_and_zooms_where_it_is_dragged(page, server, scribe):
    trace = grow(scribe, 1000)
    send(server.url, scribe.spans)
    page.goto(f"{server.url}/trace/{trace:032x}")
    box = page.locator("#minimap").bounding_box()
    page.mouse.click(box["x"] + 50, box["y"] + box["height"] - 4)
    page.wait_for_function("document.getElementById('scroller').scrollTop > 15000")
    page.mouse.move(box["x"] + 100, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 400, box["y"] + 20, steps=3)
    page.mouse.up()
    page.wait_for_url("**zoom=*")


def test_a_deep_tree_leaves_room_for_names(page, server, scribe):
    trace, parent = scribe.trace(), None
    for depth in range(300):
        parent = scribe.span(trace, f"level {depth}", depth / 10, 900 - depth / 10, "shop", parent)
    send(server.url, scribe.spans)
    page.goto(f"{server.url}/trace/{trace:032x}")
    page.keyboard.press("End")
    name = page.locator("#rows .row b", has_text="level 299")
    expect(name).to_be_visible()
    assert name.evaluate("name => name.closest('a').clientWidth") > 100
