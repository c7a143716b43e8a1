import os
import re
import subprocess
import sys

from playwright.sync_api import expect

from mmtrace import attributes as names
from traffic import Pipeline, send

NONE = "\N{EN DASH}"


def cells(page, model):
    row = page.locator("#live tbody tr", has=page.locator("b", has_text=re.compile(f"^{model}$")))
    return row.locator("td").all_inner_texts()


def test_models_are_listed_by_their_share_of_all_time_and_say_where_the_figures_come_from(page, shown):
    page.goto(f"{shown.url}/models")
    expect(page.locator("#live tbody b")).to_have_text(["writer-lm", "checker", "digits"])
    shares = [int(re.search(r"(\d+) %", text)[1]) for text in page.locator("td.share").all_inner_texts()]
    assert shares == sorted(shares, reverse=True) and 50 < sum(shares) <= 100
    expect(page.locator(".source")).to_have_text(re.compile(r"^Figures from spans: \d+ traces of 9\.9\d min$"))


def test_a_row_has_rate_errors_percentiles_first_output_queue_batch_size_and_tokens(page, shown):
    page.goto(f"{shown.url}/models")
    _, rate, errors, p50, p95, p99, first, queue, batch, tokens, _ = cells(page, "checker")
    assert re.match(r"0\.\d+/s", rate) and re.fullmatch(r"0\.\d+ %", errors)
    assert all(re.fullmatch(r"[\d.]+ ms", value) for value in (p50, p95, p99, queue))
    assert (first, tokens) == (NONE, NONE) and 2 <= float(batch) <= 4
    _, _, errors, *_, first, queue, batch, tokens, _ = cells(page, "writer-lm")
    assert errors == "0 %" and first.endswith("ms") and (queue, batch) == (NONE, NONE) and tokens.endswith("/s")
    assert page.locator(".spark path").count() == 3


def test_a_click_on_a_model_shows_its_slowest_traces(page, shown):
    page.goto(f"{shown.url}/models")
    page.get_by_role("link", name="checker check").click()
    expect(page.get_by_role("heading", name="Slowest traces")).to_be_visible()
    expect(page.locator("#rows tr").first.locator(".duration")).to_have_text(re.compile(r"^[5-9]\d\d ms$"))


def test_the_map_goes_from_left_to_right_in_the_order_of_calls(page, shown):
    page.goto(f"{shown.url}/map")
    at = {
        node.locator("text").first.text_content()
        + ("*" if "model" in node.get_attribute("class") else ""): node.bounding_box()["x"]
        for node in page.locator("a.node").all()
    }
    assert set(at) == {"gateway", "reader", "digits*", "checker", "checker*", "writer", "writer-lm*"}
    assert at["gateway"] < min(at["reader"], at["checker"], at["writer"])
    assert at["checker"] < at["checker*"] and at["writer"] < at["writer-lm*"]


def edge(page, words):
    return page.locator("a.edge", has=page.locator("title", has_text=re.compile(words)))


def test_an_edge_shows_calls_and_p95_and_is_dashed_through_a_queue(page, shown):
    page.goto(f"{shown.url}/map")
    direct, queued = edge(page, "^gateway calls reader:"), edge(page, "^gateway calls writer:")
    expect(direct).to_contain_text(re.compile(r"/s · p95 20\.0 ms"))
    dashes = [it.locator(".line").evaluate("line => getComputedStyle(line).strokeDasharray") for it in (direct, queued)]
    assert dashes[0] == "none" and dashes[1] != "none"
    assert "queued" in edge(page, "^checker calls checker:").get_attribute("class")


def test_errors_are_a_red_rim_and_a_red_count(page, shown):
    page.goto(f"{shown.url}/map")
    rims = page.locator("a.node:has(.rim)")
    expect(rims).to_have_count(1)
    expect(rims.locator("text").first).to_have_text("checker")
    expect(edge(page, "^checker calls checker:").locator(".error-text")).to_have_text("1 error")


def test_a_node_leads_to_its_traces(page, shown):
    page.goto(f"{shown.url}/map")
    page.locator("a.node.model", has_text="digits").click()
    page.wait_for_url("**/?service=reader&model=digits")
    edge_to = f"{shown.url}/map"
    page.goto(edge_to)
    edge(page, "^checker calls checker:").locator(".hit").click(force=True)
    page.wait_for_url("**/?service=checker&model=checker")


def test_figures_follow_what_arrives(page, server, scribe):
    page.goto(f"{server.url}/models")
    expect(page.get_by_role("heading", name="No model call yet")).to_be_visible()
    pipeline = Pipeline(scribe)
    pipeline.request()
    pipeline.batch()
    send(server.url, scribe.spans)
    expect(page.locator("#live tbody tr")).to_have_count(3, timeout=10_000)


def test_a_range_of_time_leaves_older_traces_out(page, server, scribe):
    scribe.start -= 2 * 3600 * 10**9
    scribe.call(scribe.trace(), "old", "infer", 0, 9, "shop")
    scribe.start += 2 * 3600 * 10**9
    scribe.call(scribe.trace(), "new", "infer", 0, 9, "shop")
    send(server.url, scribe.spans)
    page.goto(f"{server.url}/models?range=1h")
    expect(page.locator("#live tbody b")).to_have_text(["new"])
    page.get_by_label("Time range").select_option("24h")
    expect(page.locator("#live tbody b")).to_have_count(2)


def test_names_with_markup_are_shown_as_they_are_on_both_pages(page, server, scribe):
    nasty = "</title><script>document.title = 'owned'</script>"
    scribe.call(scribe.trace(), nasty, "infer", 0, 9, nasty, attributes={names.MODEL_TASK: nasty})
    send(server.url, scribe.spans)
    for address in ("models", "map"):
        page.goto(f"{server.url}/{address}")
        expect(page.locator("#live")).to_contain_text("</title><script>")
        assert page.title() != "owned"


SAMPLED_OUT = """
import mmtrace
mmtrace.configure(service="sampled")
call = mmtrace.model("unseen", task="rank")(lambda: "hi")
for _ in range(20):
    call()
mmtrace.shutdown(timeout=10)
"""


def test_calls_that_sampling_left_out_are_known_by_their_metrics(page, server):
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": server.url, "OTEL_TRACES_SAMPLER": "always_off"}
    environment = {**os.environ, **settings, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", SAMPLED_OUT], env=environment, check=True, timeout=300)
    page.goto(f"{server.url}/models")
    row = page.locator("#live tbody tr")
    expect(row).to_contain_text("unseen")
    expect(row).to_contain_text("from metrics")
    expect(row.locator(".spark title")).to_have_text("20 calls")
