import re
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import expect

from traffic import send

PAGES = ("/", "/?errors=1&service=gateway", "/trace/{slow}", "/trace/{slow}?only=waiting%3Achecker", "/models", "/map")

CONTRAST = (Path(__file__).parent / "contrast.js").read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_in_light_and_dark(new_page, shown, scheme):
    page = new_page(color_scheme=scheme)
    for address in PAGES:
        page.goto(shown.url + address.format(slow=shown.slow))
        expect(page.locator("main")).to_be_visible()
        assert page.evaluate(f"{CONTRAST}; contrasts().texts()") == [], address


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_in_the_bar_by_model_can_be_read_on_every_colour(new_page, shown, scheme):
    page = new_page(color_scheme=scheme)
    page.goto(f"{shown.url}/models")
    poor = page.evaluate(f"{CONTRAST}; contrasts().slots()")
    assert poor == []


def test_a_service_has_the_same_colour_on_every_page(page, shown):
    colours = {}
    for address in ("/", "/trace/{slow}", "/models"):
        page.goto(shown.url + address.format(slow=shown.slow))
        found = page.eval_on_selector_all(
            "main .chip",
            "chips => chips.map(chip => [chip.textContent, getComputedStyle(chip.firstChild).backgroundColor])",
        )
        for service, colour in found:
            colours.setdefault(service, set()).add(colour)
    assert {"gateway", "checker", "writer", "reader"} <= set(colours)
    assert all(len(seen) == 1 for seen in colours.values())
    assert len(set.union(*colours.values())) == len(colours)


@pytest.mark.parametrize("address", ["/", "/models", "/map", "/trace/{slow}", "/trace/abc", "/static/trace.js"])
def test_no_page_lets_foreign_code_in(shown, address):
    asked = shown.url + address.format(slow=shown.slow)
    try:
        answer = urllib.request.urlopen(asked, timeout=30)
    except urllib.error.HTTPError as refused:
        answer = refused
    with answer:
        policy = answer.headers.get_all("Content-Security-Policy")
        assert len(policy) == 1
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy[0]
        assert "unsafe" not in policy[0] and "frame-ancestors 'none'" in policy[0]
        assert answer.headers.get_all("X-Content-Type-Options") == ["nosniff"]
        body = answer.read().decode()
    if not address.startswith("/static"):
        assert not re.search(r"\son\w+=|\sstyle=|<script(?![^>]*(src=|application/json))", body)


def test_pages_fit_a_narrow_and_a_wide_window(page, shown):
    for width in (1024, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 800})
        for address in PAGES:
            page.goto(shown.url + address.format(slow=shown.slow))
            expect(page.locator("main")).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (address, width)


def test_long_names_and_many_services_are_cut_not_spilled(page, server, scribe):
    trace = scribe.trace()
    root = scribe.span(trace, "n" * 500, 0, 90, "service-" * 30, kind="server")
    for number in range(40):
        scribe.call(
            trace, f"model-{number}-" + "m" * 90, "infer", number, number + 9, f"service-{number}-" + "s" * 90, root
        )
    send(server.url, scribe.spans)
    for address in ("/", f"/trace/{trace:032x}", "/models"):
        page.goto(server.url + address)
        expect(page.locator("main")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280, address
    page.goto(f"{server.url}/trace/{trace:032x}")
    assert page.locator("#scroller").bounding_box()["height"] > 200
