import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect

from mmtrace import attributes as names
from traffic import Pipeline, send


def test_an_empty_server_shows_two_lines_that_send_a_first_trace(page, server):
    page.goto(server.url)
    expect(page.get_by_role("heading", name="No trace yet")).to_be_visible()
    lines = page.locator("#lines").inner_text().splitlines()
    assert len(lines) == 2
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    subprocess.run(["sh", "-c", "\n".join(lines)], env=environment, check=True, timeout=300)
    expect(page.locator("#rows").get_by_role("link", name="infer echo")).to_be_visible()
    expect(page.get_by_text("No trace yet")).to_be_hidden()


def test_the_lines_are_ready_to_copy(new_page, server):
    page = new_page(permissions=["clipboard-read", "clipboard-write"])
    page.goto(server.url)
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#lines").inner_text()


def test_a_row_names_the_root_its_services_its_models_and_how_long_it_took(page, shown):
    page.goto(f"{shown.url}/?min=500ms&range=")
    row = page.locator(f"tr[data-trace='{shown.slow}']")
    expect(row).to_contain_text("POST /read")
    expect(row.locator(".models")).to_have_text("digits, checker, writer-lm")
    expect(row.locator(".services")).to_have_attribute("title", "gateway, reader, checker, writer")
    assert re.fullmatch(r"\d\d\d ms", row.locator(".duration").inner_text())


def test_a_thin_bar_shows_that_a_slow_request_waited(page, shown):
    page.goto(f"{shown.url}/?min=500ms")
    label = page.locator(f"tr[data-trace='{shown.slow}'] .shares").get_attribute("aria-label")
    waited, computed, rest = map(int, re.findall(r"(\d+) %", label))
    assert waited > 50 and computed < 50 and waited + computed + rest in (99, 100, 101)


@pytest.mark.parametrize(
    ("asked", "holds"),
    [
        ("service=writer", lambda row: "writer" in row["services"]),
        ("model=checker.onnx", lambda row: row["root"].endswith("batch checker")),
        ("min=500ms", lambda row: row["seconds"] >= 0.5),
        ("errors=1", lambda row: row["errors"] == "1"),
        ("text=exception.message%3Dthe+picture+is+empty", lambda row: row["errors"] == "1"),
    ],
)
def test_filters_leave_only_what_was_asked_for(page, shown, asked, holds):
    page.goto(f"{shown.url}/?{asked}")
    rows = page.eval_on_selector_all(
        "#rows tr",
        """rows => rows.map(row => ({
            seconds: Number(row.dataset.seconds), errors: row.dataset.errors ?? "",
            services: row.querySelector(".services").title, root: row.querySelector(".root").innerText.trim(),
        }))""",
    )
    assert rows and all(holds(row) for row in rows)


def test_choosing_a_filter_puts_it_into_the_address(page, shown):
    page.goto(shown.url)
    page.get_by_label("Model").select_option("digits")
    page.wait_for_url("**/?model=digits")
    page.get_by_label("Errors only").check()
    page.wait_for_url("**/?model=digits&errors=1")
    expect(page.locator("#rows tr")).to_have_count(1)


def test_a_filter_that_makes_no_sense_says_what_would(page, shown):
    page.goto(f"{shown.url}/?min=soon")
    expect(page.get_by_role("alert")).to_have_text("“soon” is no duration: write 100 ms, 1.5 s or 2 min.")


def test_where_nothing_matches_the_way_back_is_shown(page, shown):
    page.goto(f"{shown.url}/?min=10h")
    page.get_by_role("link", name="show all").click()
    expect(page.locator("#rows tr").first).to_be_visible()


def test_the_slowest_traces_come_first_when_asked_for(page, shown):
    page.goto(shown.url)
    page.get_by_role("link", name="slowest first").click()
    seconds = page.eval_on_selector_all("#rows tr", "rows => rows.map(row => Number(row.dataset.seconds))")
    assert seconds == sorted(seconds, reverse=True)


def test_a_point_of_the_plot_names_its_trace_and_opens_it(page, shown):
    page.goto(f"{shown.url}/?min=500ms")
    point = page.locator(f"#plot a[href='/trace/{shown.slow}']")
    point.hover()
    expect(page.locator("#tip")).to_contain_text("POST /read")
    point.click()
    page.wait_for_url(f"**/trace/{shown.slow}")


def test_an_error_is_a_red_mark_of_another_shape(page, shown):
    page.goto(f"{shown.url}/?errors=1")
    mark = page.locator("#plot .failed")
    assert mark.evaluate("mark => mark.tagName") == "path"
    assert mark.evaluate("mark => getComputedStyle(mark).fill") == "rgb(194, 31, 27)"


def test_a_drag_over_the_plot_chooses_a_range_of_time(page, shown):
    page.goto(shown.url)
    before = page.locator("#rows tr").count()
    box = page.locator("#plot").bounding_box()
    page.mouse.move(box["x"] + 400, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 700, box["y"] + 80, steps=4)
    page.mouse.up()
    page.wait_for_url("**/?from=*&to=*")
    assert 0 < page.locator("#rows tr").count() < before


def test_times_are_in_the_zone_of_the_person_with_utc_on_hover(new_page, shown):
    page = new_page(timezone_id="Asia/Kolkata")
    page.goto(shown.url)
    moment = page.locator("#rows time").first
    utc = moment.get_attribute("datetime")
    assert moment.get_attribute("title") == utc.replace("T", " ").replace("Z", " UTC")
    minutes = (int(utc[11:13]) * 60 + int(utc[14:16]) + 330) % (24 * 60)
    assert f"{minutes // 60:02d}:{minutes % 60:02d}:" in moment.inner_text()


def test_a_new_trace_appears_by_itself(page, server, scribe):
    page.goto(server.url)
    scribe.span(scribe.trace(), "GET /first", 0, 5, "shop", kind="server")
    send(server.url, scribe.spans)
    expect(page.locator("#rows").get_by_role("link", name="GET /first")).to_be_visible()
    assert page.locator("#plot a").count() == 1


def test_new_traces_do_not_move_what_is_being_read(page, server, scribe):
    for number in range(5):
        scribe.span(scribe.trace(), f"GET /old/{number}", number, number + 1, "shop")
    send(server.url, scribe.spans)
    page.goto(server.url)
    row = page.locator("#rows tr").nth(2)
    row.hover()
    before = (row.inner_text(), row.bounding_box())
    scribe.spans.clear()
    scribe.span(scribe.trace(), "GET /new", 900, 905, "shop")
    send(server.url, scribe.spans)
    expect(page.get_by_role("button", name="1 new")).to_be_visible()
    assert (row.inner_text(), row.bounding_box()) == before
    page.get_by_role("button", name="1 new").click()
    expect(page.locator("#rows tr").first).to_contain_text("GET /new")


def test_a_trace_that_grows_grows_in_its_row(page, server, scribe):
    trace = scribe.trace()
    root = scribe.span(trace, "GET /grows", 0, 5, "shop")
    send(server.url, scribe.spans)
    page.goto(server.url)
    spans = page.locator("#rows tr td").nth(6)
    expect(spans).to_have_text("1")
    scribe.spans.clear()
    scribe.span(trace, "late", 1, 4, "shop", root)
    send(server.url, scribe.spans)
    expect(spans).to_have_text("2")


def test_filters_hold_for_what_arrives_later(page, server, scribe):
    pipeline = Pipeline(scribe)
    pipeline.request()
    pipeline.batch()
    send(server.url, scribe.spans)
    page.goto(f"{server.url}/?service=reader")
    scribe.spans.clear()
    scribe.span(scribe.trace(), "GET /elsewhere", 500, 505, "shop")
    pipeline.request(600)
    pipeline.batch()
    send(server.url, scribe.spans)
    expect(page.locator("#rows tr")).to_have_count(2)
    expect(page.get_by_text("GET /elsewhere")).to_have_count(0)


def test_rows_are_reached_with_keys(page, shown):
    page.goto(shown.url)
    page.keyboard.press("/")
    expect(page.get_by_placeholder("words, or key=value")).to_be_focused()
    page.keyboard.press("Escape")
    for key in "jjk":
        page.keyboard.press(key)
    first = page.locator("#rows tr a").first
    expect(first).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/trace/*")


def test_the_keys_are_listed_at_a_question_mark(page, shown):
    page.goto(shown.url)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()


def test_names_with_markup_are_shown_as_they_are(page, server, scribe):
    name = '<img src=x onerror="document.title=\'owned\'"> & "quotes" \'; DROP TABLE spans; --'
    scribe.span(scribe.trace(), name, 0, 5, f"<b>{name}</b>", attributes={names.MODEL_NAME: name})
    send(server.url, scribe.spans)
    page.goto(server.url)
    expect(page.locator("#rows .root b")).to_have_text(name)
    assert page.title() != "owned"
    assert page.locator("#rows img").count() == 0
