import itertools
import re
from dataclasses import replace

import pytest
from playwright.sync_api import expect

from mmtrace import attributes as names
from traffic import Pipeline, send


@pytest.fixture
def slow(page, shown):
    """The page of a slow request."""
    page.goto(f"{shown.url}/trace/{shown.slow}")
    expect(page.locator("#rows .row")).to_have_count(10)
    return page


def row(page, name):
    return page.locator("#rows .row", has=page.locator("b", has_text=re.compile(f"^{re.escape(name)}$")))


def test_the_answer_stands_in_words_which_model_was_slow_and_whether_it_waited_or_worked(slow):
    expect(slow.locator(".verdict")).to_have_text(
        re.compile(r"^\s*checker took \d\d %:\s+it waited \d\d\d ms for its batch and computed 12\.0 ms\.$")
    )


def test_the_head_names_services_models_errors_and_copies_the_whole_id(new_page, shown):
    page = new_page(permissions=["clipboard-read", "clipboard-write"])
    page.goto(f"{shown.url}/trace/{shown.slow}")
    head = page.locator(".head")
    for text in ("POST /read", "gateway", "reader", "checker", "writer", "digits, checker, writer-lm", "none"):
        expect(head).to_contain_text(text)
    head.get_by_role("button", name=shown.slow[:8]).click()
    expect(head.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == shown.slow


def test_the_bar_by_model_is_as_wide_as_all_of_its_parts(slow):
    parts = slow.eval_on_selector_all(
        "#bar .segment", "parts => parts.map(part => [part.x.baseVal.value, part.width.baseVal.value])"
    )
    for (left, width), (following, _) in itertools.pairwise(parts):
        assert left + width == pytest.approx(following, abs=0.5)
    whole = slow.locator("#bar").evaluate("bar => bar.getBoundingClientRect().width")
    assert parts[0][0] == 0 and sum(parts[-1]) == pytest.approx(whole, abs=0.5)


def test_a_click_on_a_part_of_the_bar_leaves_its_rows_and_what_they_lie_in(slow):
    slow.get_by_role("button", name=re.compile("checker waited")).click()
    expect(slow.locator("#shown")).to_have_text("1 of 10 spans")
    expect(slow.locator("#rows .row:not(.aside) b")).to_have_text(["check checker"])
    assert "only=waiting%3Achecker" in slow.url
    slow.get_by_role("button", name="Show all").click()
    expect(slow.locator("#rows .row")).to_have_count(10)


def test_waits_are_hatched_compute_is_solid_and_a_stream_is_paler(slow):
    bar = row(slow, "check checker").locator(".bars")
    wait, compute = bar.locator(".waiting"), bar.locator(".computing")
    assert wait.get_attribute("fill").startswith("url(#wait-")
    assert wait.bounding_box()["width"] > 10 * compute.bounding_box()["width"]
    stream = row(slow, "generate writer-lm").locator(".bars")
    colours = [
        stream.locator(part).evaluate("part => getComputedStyle(part).fill") for part in (".computing", ".streaming")
    ]
    assert colours[0] != colours[1]


def test_a_stream_has_a_tick_at_its_first_output_a_mark_at_a_stall_and_a_line_for_its_consumer(slow):
    bars = row(slow, "generate writer-lm").locator(".bars")
    start = bars.locator(".streaming").bounding_box()["x"]
    assert bars.locator(".first").bounding_box()["x"] == pytest.approx(start, abs=2)
    expect(bars.locator(".stall title")).to_have_text(re.compile("mmtrace.output.stall at"))
    expect(bars.locator(".consumer title")).to_have_text(re.compile("the consumer held it for"))


def test_self_time_is_darker_than_time_in_children(slow):
    fills = slow.evaluate(
        """() => ["whole", "self"].map(kind => {
            const colour = getComputedStyle(document.querySelector(`#rows .row .${kind}`)).fill;
            return colour.match(/[\\d.]+/g).slice(-3).map(Number).reduce((one, other) => one + other);
        })"""
    )
    assert fills[1] < fills[0]


def test_rows_are_a_tree_of_real_links(slow, shown):
    tree = slow.get_by_role("tree", name="Spans of the trace")
    items = tree.get_by_role("treeitem")
    expect(items).to_have_count(10)
    levels = items.evaluate_all("rows => rows.map(row => Number(row.ariaLevel))")
    assert levels == [1, 2, 3, 4, 2, 3, 4, 2, 3, 4]
    first = items.first
    assert [first.get_attribute(f"aria-{key}") for key in ("posinset", "setsize", "expanded")] == ["1", "1", "true"]
    assert f"/trace/{shown.slow}?span=" in first.locator("a.what").get_attribute("href")


def test_a_folded_subtree_shows_how_many_spans_it_hides_also_to_a_colleague(slow, new_page):
    row(slow, "POST").locator(".fold").click()
    expect(row(slow, "POST").locator(".fold")).to_have_text("▸ 2")
    expect(slow.locator("#rows .row")).to_have_count(8)
    other = new_page()
    other.goto(slow.url)
    expect(other.locator("#rows .row")).to_have_count(8)


def test_a_span_opens_beside_the_rows_with_its_model_first(slow):
    row(slow, "generate writer-lm").locator("a.what").click()
    details = slow.get_by_role("complementary", name="Details of the span")
    block = details.locator(".block")
    for text in (
        "writer-lm",
        "transformers",
        "cuda:0",
        "214",
        "96",
        "First output after",
        "Streamed",
        "Consumer's own time",
    ):
        expect(block).to_contain_text(text)
    beside, rows = details.bounding_box(), slow.locator("#chart").bounding_box()
    assert beside["x"] >= rows["x"] + rows["width"]
    titles = details.locator("h3").all_inner_texts()
    assert titles[:2] == ["Time", "Events (2)"] and "mmtrace" in titles


def test_an_opened_span_is_in_the_address_and_back_closes_it(slow, new_page):
    row(slow, "classify digits").locator("a.what").click()
    expect(slow.locator("#details h2")).to_have_text("classify digits")
    other = new_page()
    other.goto(slow.url)
    expect(other.locator("#details h2")).to_have_text("classify digits")
    expect(row(other, "classify digits")).to_have_attribute("aria-selected", "true")
    slow.go_back()
    expect(slow.locator("#details")).to_be_hidden()


def test_content_is_shown_only_where_it_was_captured(page, server, scribe):
    trace = scribe.trace()
    root = scribe.span(trace, "ask", 0, 9, "shop")
    content = {names.INPUT_CONTENT: "Who wrote this?", names.GEN_AI_OUTPUT_MESSAGES: '[{"role": "assistant"}]'}
    scribe.call(trace, "llm", "generate", 1, 8, "shop", root, attributes=content)
    send(server.url, scribe.spans)
    page.goto(f"{server.url}/trace/{trace:032x}")
    row(page, "ask").locator("a.what").click()
    expect(page.locator("#details h2")).to_have_text("ask")
    expect(page.locator("#details h3", has_text="Content")).to_have_count(0)
    row(page, "generate llm").locator("a.what").click()
    expect(page.locator("#details")).to_contain_text("Who wrote this?")
    expect(page.locator("#details h3", has_text="Content")).to_have_count(1)


def test_from_a_request_to_its_batch_and_back_takes_one_click_each(slow, shown):
    row(slow, "check checker").locator(".chain").click()
    expect(slow.locator(".head h1")).to_contain_text("batch checker")
    expect(slow.locator("#details h2")).to_have_text("batch checker")
    slow.locator(f"#details .ends a[href*='{shown.slow}']").click()
    slow.wait_for_url(f"**/trace/{shown.slow}?span=*")
    expect(slow.locator("#details h2")).to_have_text("check checker")


def test_the_mark_of_a_link_names_the_other_end_on_hover(page, server, scribe):
    pipeline = Pipeline(scribe)
    requests = [pipeline.request(number)[0] for number in range(3)]
    batch, _ = pipeline.batch()
    send(server.url, scribe.spans)
    page.goto(f"{server.url}/trace/{batch:032x}")
    mark = row(page, "batch checker").locator(".chain")
    expect(mark).to_have_text("3")
    mark.hover()
    ends = page.get_by_role("dialog", name="Links").get_by_role("link")
    expect(ends).to_have_count(3)
    for end, request in zip(ends.all(), requests, strict=True):
        expect(end).to_contain_text("check checker")
        expect(end).to_contain_text(f"trace {request:032x}"[:14])
        expect(end.locator(".number")).to_have_text(re.compile(r"\d ms$"))


def test_the_verdict_leads_to_the_batch_that_a_request_waited_for(slow):
    slow.get_by_role("link", name="its batch").click()
    expect(slow.locator(".head h1")).to_contain_text("batch checker")


def test_a_link_to_a_span_that_is_not_here_says_so(page, server, scribe):
    gone = scribe.span(scribe.trace(), "gone", 0, 1, "shop")
    scribe.spans.clear()
    trace = scribe.trace()
    scribe.span(trace, "left alone", 0, 5, "shop", links=[gone])
    send(server.url, scribe.spans)
    page.goto(f"{server.url}/trace/{trace:032x}")
    page.locator(".chain").hover()
    expect(page.locator("#links")).to_contain_text("a span that is not here")


def test_a_drag_zooms_a_double_click_fits_a_span_and_0_shows_all_again(slow, new_page):
    ruler = slow.locator("#ruler")
    bars = row(slow, "check checker").locator(".bars").bounding_box()
    slow.mouse.move(bars["x"] + 100, bars["y"] + 13)
    slow.mouse.down()
    slow.mouse.move(bars["x"] + 300, bars["y"] + 13, steps=3)
    expect(slow.locator("#selection")).to_be_visible()
    slow.mouse.up()
    assert re.search(r"zoom=\d+-\d+", slow.url)
    assert "span=" not in slow.url
    expect(ruler).not_to_contain_text("600 ms")
    slow.keyboard.press("0")
    assert "zoom" not in slow.url
    expect(ruler).to_contain_text("600 ms")
    row(slow, "classify digits").locator(".computing").dblclick()
    expect(row(slow, "classify digits").locator(".computing")).to_be_visible()
    whole = row(slow, "classify digits").locator(".bars").bounding_box()["width"]
    assert row(slow, "classify digits").locator(".computing").bounding_box()["width"] > 0.9 * whole
    other = new_page()
    other.goto(slow.url)
    expect(other.locator("#whole")).to_be_visible()


def test_keys_walk_fold_open_and_close(slow):
    active = slow.locator("#rows .row.active b")
    for key, at in (
        ("j", "digits.Reader/Read"),
        ("ArrowDown", "digits.Reader/Read"),
        ("j", "classify digits"),
        ("k", "digits.Reader/Read"),
    ):
        slow.keyboard.press(key)
        expect(active).to_have_text(at)
    slow.keyboard.press("ArrowLeft")
    expect(slow.locator("#rows .row")).to_have_count(9)
    slow.keyboard.press("ArrowRight")
    expect(slow.locator("#rows .row")).to_have_count(10)
    slow.keyboard.press("Enter")
    expect(slow.locator("#details h2")).to_have_text("digits.Reader/Read")
    slow.keyboard.press("Escape")
    expect(slow.locator("#details")).to_be_hidden()


def test_a_search_finds_spans_by_name_service_and_model(slow):
    slow.keyboard.press("/")
    slow.keyboard.type("writer")
    expect(slow.locator("#shown")).to_have_text("2 of 10 spans")
    expect(slow.locator("#rows .row:not(.aside) b")).to_have_text(["process answers", "generate writer-lm"])
    assert "find=writer" in slow.url


def test_an_error_is_marked_on_its_row_and_told_in_its_details(page, shown):
    page.goto(f"{shown.url}/?errors=1")
    page.locator("#rows .root a").first.click()
    expect(page.locator("#rows .row")).to_have_count(10)
    page.get_by_role("button", name="1", exact=True).click()
    expect(page.locator("#rows .row[aria-selected=true] .bad")).to_be_visible()
    expect(page.locator("#details .failure")).to_have_text("the picture is empty")
    expect(page.locator("#details")).to_contain_text("ValueError")
    failed = page.locator("#rows .row[aria-selected=true] .failed")
    assert failed.evaluate("bar => getComputedStyle(bar).stroke") == "rgb(194, 31, 27)"


def test_values_with_markup_and_a_megabyte_of_text_are_text_and_folded(page, server, scribe):
    trace = scribe.trace()
    nasty = "</script><script>document.title = 'owned'</script>"
    attributes = {"note": nasty, nasty: "key", "large": "x" * 1_000_000, "nested": {"a": [1, True]}, "raw": b"\x00\xff"}
    scribe.span(trace, nasty, 0, 9, nasty, attributes=attributes, events=[(nasty, 3)])
    send(server.url, scribe.spans)
    page.goto(f"{server.url}/trace/{trace:032x}")
    page.locator("#rows a.what").click()
    details = page.locator("#details")
    expect(details).to_contain_text("00 ff")
    expect(details.locator("dd", has_text="document.title").first).to_contain_text(nasty)
    fold = details.get_by_role("button", name="all 1,000,000 characters")
    assert len(details.inner_text()) < 5000
    fold.click()
    expect(details.get_by_role("button", name="less")).to_be_visible()
    assert details.locator(".value.open").evaluate("value => value.textContent.length") == 1_000_000
    assert page.title() != "owned" and page.locator("#details script, #rows script").count() == 0


def test_a_value_copies_with_one_click(new_page, shown):
    page = new_page(permissions=["clipboard-read", "clipboard-write"])
    page.goto(f"{shown.url}/trace/{shown.slow}")
    row(page, "classify digits").locator("a.what").click()
    line = page.locator("#details section dd", has_text="1x64")
    line.hover()
    line.get_by_role("button").click()
    expect(line.get_by_role("button")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == '["1x64"]'


def test_spans_that_arrive_later_are_offered(page, server, scribe):
    trace = scribe.trace()
    root = scribe.span(trace, "grows", 0, 9, "shop")
    send(server.url, scribe.spans)
    page.goto(f"{server.url}/trace/{trace:032x}")
    scribe.spans.clear()
    scribe.span(trace, "late", 1, 2, "shop", root)
    send(server.url, scribe.spans)
    page.get_by_role("button", name="1 new span: show").click()
    expect(page.locator("#rows .row")).to_have_count(2)


def test_orphans_cycles_skewed_clocks_and_spans_of_no_length_are_shown_too(page, server, scribe):
    trace, missing = scribe.trace(), scribe.span(1, "missing", 0, 1, "shop")
    scribe.spans.clear()
    root = scribe.span(trace, "root", 0, 0, "shop")
    scribe.span(trace, "orphan", 5, 3, "shop", missing)
    early = scribe.call(trace, "llm", "generate", -50, -50, "shop", root)
    one = scribe.span(trace, "one", 0, 1, "shop")
    other = scribe.span(trace, "other", 0, 1, "shop", one)
    scribe.spans[scribe.spans.index(one)] = replace(one, parent_span_id=other.span_id)
    send(server.url, scribe.spans)
    page.goto(f"{server.url}/trace/{trace:032x}?span={early.span_id:016x}")
    expect(page.locator("#rows .row")).to_have_count(5)
    expect(page.locator("#details h2")).to_have_text("generate llm")


@pytest.mark.parametrize("address", ["00000000000000000000000000000001", "no-such-trace", "f" * 5000])
def test_a_trace_that_is_not_here_says_why(new_page, shown, address):
    context = new_page().context
    answer = context.request.get(f"{shown.url}/trace/{address}")
    assert answer.status == 404
    assert "No such trace" in answer.text() and "All traces" in answer.text()
