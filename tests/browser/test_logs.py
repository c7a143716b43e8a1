"""What a program logged, on the page of its trace."""

import os
import re
import subprocess
import sys
import textwrap

import pytest
from playwright.sync_api import expect

PROGRAM = textwrap.dedent(
    """
    import logging, mmtrace
    mmtrace.configure(service="shop", log_handlers="otlp", log_level="info")
    with mmtrace.span("request"):
        logging.info("it begins")
        with mmtrace.model_call("ocr"):
            logging.warning("page %d is <b>torn</b>", 7, extra={"page": 7})
        try:
            raise ValueError("no words")
        except ValueError:
            logging.exception("it failed")
    with mmtrace.span("silent"):
        pass
    """
)


@pytest.fixture
def traces(server):
    """The addresses of a trace with logs and of one without."""
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": server.url}
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True, timeout=300)
    spans = server.store.spans(0, 1 << 62, limit=10)
    found = {span.name: f"{server.url}/trace/{span.trace_id:032x}" for span in spans}
    return found["request"], found["silent"]


def test_all_records_of_a_trace_stand_in_order_and_lead_to_their_spans(page, traces):
    page.goto(traces[0])
    page.get_by_role("button", name="3 log records").click()
    panel = page.get_by_role("complementary", name="Log records")
    expect(panel.locator(".said .value")).to_have_text(["it begins", "page 7 is <b>torn</b>", "it failed"])
    expect(panel.locator(".event > b")).to_have_text(["INFO", "WARNING", "ERROR"])
    expect(panel.locator(".chip")).to_have_text(["shop"] * 3)
    expect(panel.locator(".event").nth(2)).to_contain_text("ValueError: no words")
    assert "logs=all" in page.url
    panel.get_by_role("button", name="infer ocr").click()
    expect(page.locator("#details h2")).to_have_text("infer ocr")
    page.go_back()
    expect(page.locator("#details h2")).to_have_text("Log records")
    page.keyboard.press("Escape")
    expect(page.locator("#details")).to_be_hidden()


def test_the_details_of_a_span_have_its_own_records_and_what_was_said_beside_them(page, traces):
    page.goto(traces[0])
    page.locator("#rows .row", has_text="infer ocr").locator("a.what").click()
    section = page.locator("#details section", has_text="Logs (1)")
    expect(section).to_contain_text(re.compile(r"WARNING.*page 7 is <b>torn</b>"))
    section.get_by_text("Fields").click()
    expect(section.locator("dd", has_text=re.compile("^ocr"))).to_be_visible()
    expect(section.locator("div", has_text=re.compile("^page7"))).to_be_visible()


def test_a_trace_without_records_offers_none(page, traces):
    page.goto(traces[1])
    expect(page.locator("#rows .row")).to_have_count(1)
    expect(page.locator("#logs")).to_have_count(0)
