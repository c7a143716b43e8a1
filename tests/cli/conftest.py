import gzip
import http.server
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from mmtrace.otlp.decode import decode_traces
from ports import free_port

MMTRACE = str(Path(sys.executable).with_name("mmtrace"))


class Receiver(http.server.ThreadingHTTPServer):
    """A receiver of OTLP over HTTP that keeps the spans."""

    daemon_threads = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def kinds(self, kind):
        return [span for span in self.spans if span.kind.name == kind]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path == "/v1/traces":
            self.server.spans += decode_traces(body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def receiver():
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def run(receiver, tmp_path):
    """Runs `mmtrace run` to its end, its telemetry to the receiver."""

    def run(*arguments, **more):
        environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, **more}
        return subprocess.run(
            [MMTRACE, "run", *map(str, arguments)],
            capture_output=True, text=True, check=False, env=environment, cwd=tmp_path, timeout=300,
        )  # fmt: skip

    return run


@pytest.fixture
def program(tmp_path):
    """Writes a program and returns its path."""

    def write(source, name="program.py"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(source))
        return path

    return write


@pytest.fixture
def serve(receiver, tmp_path):
    """Starts a server under `mmtrace run`, `{port}` in its command; returns its process and a function that asks it.

    It is ready once the path `ready` is answered.
    """
    started = []

    def serve(*command, ready="/"):
        port = free_port()
        environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(
                [MMTRACE, "run", *(part.format(port=port) for part in command)],
                env=environment, cwd=tmp_path, stdout=log, stderr=log,
            )  # fmt: skip
        started.append(process)

        def ask(path=ready):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return answer.read()

        wait_for(ask, process, tmp_path / "log")
        return process, ask

    yield serve
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()


def wait_for(ask, process, log):
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return ask()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
    raise AssertionError(f"the server did not start: {log.read_text()}")
