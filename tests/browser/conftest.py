"""Real servers with traces of several models, and a real Chromium that looks at them."""

import os
import re
import shutil
import subprocess
import sys
import time
from typing import NamedTuple

import pytest
from playwright.sync_api import sync_playwright

from mmtrace.server.running import LocalServer, ServerOptions
from traffic import Scribe, send, story

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Shown(NamedTuple):
    """A server that shows traffic, and the trace of a slow request in it."""

    url: str
    slow: str


@pytest.fixture(scope="module")
def shown():
    """A server in a process of its own that shows ten minutes of traffic."""
    command = [sys.executable, "-m", "mmtrace", "serve", "--port", "0", "--grpc-port", "0"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    try:
        url = re.search(r"http://[^/\s]+", process.stdout.readline())[0]
        spans, slow = story()
        send(url, spans)
        yield Shown(url, f"{slow:032x}")
    finally:
        process.terminate()
        process.communicate(timeout=300)


@pytest.fixture
def server():
    """An empty server."""
    with LocalServer(ServerOptions(port=0, grpc_port=0)) as server:
        yield server


@pytest.fixture
def scribe():
    """A hand that writes spans of a second ago."""
    return Scribe(time.time_ns() - 10**9, seed=time.time_ns())


@pytest.fixture(scope="module")
def chromium():
    if not CHROMIUM:
        assert not os.environ.get("CI"), "Chromium is missing: bash tests/install_system_packages.sh"
        pytest.skip("Chromium is missing: bash tests/install_system_packages.sh")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def _is_complaint(message):
    """Whether a page logs an error; where its server ended before it, it may ask for news in vain."""
    ended = "ERR_CONNECTION_REFUSED" in message.text or "ERR_INCOMPLETE_CHUNKED_ENCODING" in message.text
    return message.type == "error" and not ended


@pytest.fixture
def new_page(chromium):
    """Return what opens a page; a page that logs an error, or asks another origin for anything, fails the test."""
    complaints, contexts = [], []

    def new_page(**options):
        context = chromium.new_context(viewport={"width": 1280, "height": 800}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if _is_complaint(message) else None)
        page.on("request", lambda asked: complaints.append(asked.url) if "//127.0.0.1" not in asked.url else None)
        return page

    yield new_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def page(new_page):
    return new_page()
