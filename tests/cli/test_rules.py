"""`mmtrace rules` as a person runs it: what it writes, and that it writes nothing where something is wrong."""

import http.server
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

MMTRACE = str(Path(sys.executable).with_name("mmtrace"))


@pytest.fixture
def rules(tmp_path):
    """Runs the command in a folder of its own; returns exit code, standard output, standard error and the files."""

    def run(*arguments):
        done = subprocess.run(
            [MMTRACE, "rules", *map(str, arguments)], capture_output=True, text=True, cwd=tmp_path, timeout=300
        )
        files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
        return done.returncode, done.stdout, done.stderr, files

    return run


@pytest.fixture
def answering():
    """Starts a server that answers every request in one way; returns its address."""
    servers = []

    def start(status, body):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


WRITTEN = [
    "dashboards/mmtrace-models.json",
    "dashboards/mmtrace-processes.json",
    "dashboards/mmtrace-telemetry.json",
    "mmtrace.rules.yml",
]


def test_without_a_file_the_default_objectives_are_written(rules, tmp_path):
    code, out, err, files = rules()
    assert (code, err, files) == (0, "", WRITTEN)
    assert sorted(out.split()) == files
    assert yaml.safe_load((tmp_path / "mmtrace.rules.yml").read_text())["groups"]


def test_the_objectives_of_a_file_are_written_where_the_options_say(rules, tmp_path):
    (tmp_path / "mine.yml").write_text("services: {s: {models: {m: {latency: 0.25}}}}")
    code, _, err, files = rules("mine.yml", "--rules", "made/here.yml", "--dashboards", "made/too")
    assert (code, err) == (0, "")
    assert files[0] == "made/here.yml"
    assert 'le="0.25",job="s",model="m"' in (tmp_path / "made/here.yml").read_text()
    assert "m: latency" in (tmp_path / "made/too/mmtrace-models.json").read_text()


def test_a_mistake_in_the_file_is_one_line_and_nothing_is_written(rules, tmp_path):
    (tmp_path / "mine.yml").write_text("services:\n  s:\n    models:\n      m: {latency: 0.3}\n")
    code, out, err, files = rules("mine.yml")
    assert (code, out, files) == (2, "", ["mine.yml"])
    assert err.startswith("mmtrace: mine.yml:4: latency 0.3 is no bound")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["none.yml"], 1, "none.yml cannot be read: No such file"),
        (["."], 1, ". cannot be read: Is a directory"),
        (["bytes.yml"], 1, "bytes.yml cannot be read: it is no UTF-8 text"),
        (["--rules", "bytes.yml/x"], 1, "bytes.yml/x cannot be written"),
        (["--from", "http://127.0.0.1:9"], 2, "--from takes a FILE too"),
        (["--from", "localhost:9090", "f.yml"], 2, "'localhost:9090' is no address; give one such as http://"),
        (["--from", "http://127.0.0.1:9", "f.yml"], 1, "http://127.0.0.1:9 cannot be asked"),
        (["--form"], 2, "unrecognized arguments: --form"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(rules, tmp_path, arguments, code, told):
    (tmp_path / "bytes.yml").write_bytes(b"\xff")
    returned, out, err, files = rules(*arguments)
    assert (returned, out, files) == (code, "", ["bytes.yml"])
    assert err.startswith(f"mmtrace: {told}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (404, b"404 page not found", "does not answer as Prometheus does (HTTP 404)"),
        (200, b"<html>", "does not answer as Prometheus does (HTTP 200)"),
        (200, b"[]", "does not answer as Prometheus does (HTTP 200)"),
        (503, json.dumps({"status": "error", "error": "starting up"}).encode(), "refuses to answer: starting up"),
        (200, json.dumps({"data": {"result": []}}).encode(), "has seen no call of a model"),
    ],
)
def test_an_answer_that_is_no_use_is_said_in_one_line(rules, answering, status, body, told):
    code, out, err, files = rules("--from", answering(status, body), "f.yml")
    assert (code, out, files) == (1, "", [])
    assert told in err
    assert err.count("\n") == 1
