import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

ASKED = os.environ.get("MMTRACE_SCREENSHOT")
PICTURE = Path(__file__).parents[2] / "assets" / "waterfall.png"


@pytest.mark.skipif(not ASKED, reason="the picture of the README is made anew with MMTRACE_SCREENSHOT=1")
def test_the_picture_of_the_readme_shows_which_model_was_slow_and_that_it_waited(page, shown):
    page.set_viewport_size({"width": 1280, "height": 640})
    page.goto(f"{shown.url}/trace/{shown.slow}")
    expect(page.locator("#rows .row")).to_have_count(10)
    expect(page.locator(".verdict")).to_contain_text("waited")
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_bytes(page.screenshot())
    assert PICTURE.stat().st_size < 300_000
