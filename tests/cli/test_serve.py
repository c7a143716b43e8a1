"""`mmtrace serve` as a person runs it: a process, signals, and what it says."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from mmtrace.server.store import Store

FREE = ("--port", "0", "--grpc-port", "0")


def spawn(*options):
    """Start the command; stdout and stderr are text."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "mmtrace", "serve", *map(str, options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True)


@pytest.fixture
def serve():
    """Return what starts a server and gives the process and what it said; what still runs is killed at the end."""
    processes = []

    def serve(*options):
        process = spawn(*FREE, *options)
        processes.append(process)
        said = ""
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            said += line
        return process, said

    yield serve
    for process in processes:
        process.kill()
        process.communicate()


def run(*options):
    """Run a command that ends by itself; return its exit code and what it said on standard error."""
    process = spawn(*options)
    out, err = process.communicate(timeout=300)
    assert out == ""
    return process.returncode, err


def address(said, what):
    return re.search(rf"{what} +(http://\S+)", said)[1]


def export(exporter, count):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for _ in range(count):
        provider.get_tracer("t").start_span("sent").end()
    provider.shutdown()


def count_spans(file):
    with Store(file) as store:
        return store.stats().spans


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_right_after_the_last_answer_loses_nothing(serve, tmp_path, number):
    file = tmp_path / "traces.db"
    process, said = serve("--store", file)
    assert str(file) in said
    export(HttpExporter(f"{address(said, 'OTLP/HTTP')}/v1/traces"), 40)
    export(GrpcExporter(address(said, "OTLP/gRPC"), insecure=True), 40)
    process.send_signal(number)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out, err) == (0, "", "")
    assert count_spans(file) == 80
    assert [path.name for path in tmp_path.iterdir()] == ["traces.db"]


def test_what_was_shown_once_outlives_a_kill(serve, tmp_path):
    file = tmp_path / "traces.db"
    process, said = serve("--store", file)
    url = address(said, "OTLP/HTTP")
    export(HttpExporter(f"{url}/v1/traces"), 40)
    assert httpx.get(f"{url}/api/v3/services").json()["services"]
    process.kill()
    process.wait()
    assert count_spans(file) == 40


def test_an_open_live_page_does_not_hold_up_the_end(serve):
    process, said = serve()
    with httpx.stream("GET", f"{address(said, 'OTLP/HTTP')}/live", timeout=30) as live:
        next(live.iter_raw())
        began = time.monotonic()
        process.terminate()
        _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    assert time.monotonic() - began < 5


def test_a_temporary_store_is_removed_at_the_end(serve, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    process, said = serve()
    export(HttpExporter(f"{address(said, 'OTLP/HTTP')}/v1/traces"), 3)
    assert list(tmp_path.iterdir())
    process.terminate()
    process.communicate(timeout=300)
    assert not list(tmp_path.iterdir())


def test_it_listens_on_this_machine_only_and_asks_for_no_token(serve):
    _, said = serve()
    assert address(said, "OTLP/HTTP").startswith("http://127.0.0.1:")
    assert "token" not in said


def test_beyond_this_machine_it_makes_a_token_and_prints_it(serve):
    process, said = serve("--host", "0.0.0.0")
    token = re.search(r"token +(\S{24,})", said)[1]
    page = re.search(r"open (http\S+)", said)[1]
    assert page.endswith(f"/?token={token}")
    url = address(said, "OTLP/HTTP")
    assert httpx.get(f"{url}/api/v3/services").status_code == 401
    assert httpx.get(f"{url}/api/v3/services", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    process.terminate()


def test_allowed_hosts_and_a_token_of_ones_own_are_taken(serve):
    _, said = serve("--allow-host", "a.example", "--allow-host", "b.example", "--token", "sesame-open")
    headers = {"Authorization": "Bearer sesame-open"}
    for host, status in (("a.example", 200), ("b.example", 200), ("c.example", 403)):
        answer = httpx.get(f"{address(said, 'OTLP/HTTP')}/api/v3/services", headers={**headers, "Host": host})
        assert answer.status_code == status


def test_the_bound_is_taken_with_a_unit(serve):
    assert "5,242,880 bytes" in serve("--max-bytes", "5M")[1]


@pytest.mark.parametrize("option", ["--port", "--grpc-port"])
def test_a_port_in_use_is_one_line_with_the_program_and_the_option(option):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = {**dict(zip(FREE[::2], FREE[1::2], strict=True)), option: port}
        code, said = run(*(word for pair in options.items() for word in pair))
    assert code == 1
    assert len(said.splitlines()) == 1
    assert f"port {port} is in use by" in said
    assert f"(process {os.getpid()})" in said
    assert option in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--port", "70000"], "is no port"),
        (["--port", "http"], "is no port"),
        (["--max-bytes", "5"], "at least 1M"),
        (["--max-bytes", "much"], "at least 1M"),
        (["--token", "short"], "at least 8"),
        (["--host", "no.such.host.invalid"], "--host"),
        (["--nothing"], "--nothing"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(options, message):
    code, said = run(*FREE, *options)
    assert code == 2
    assert len(said.splitlines()) == 1
    assert message in said


def test_a_file_that_is_no_store_is_one_line_and_exit_1(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("no database\n" * 500)
    code, said = run(*FREE, "--store", file)
    assert code == 1
    assert len(said.splitlines()) == 1
    assert str(file) in said


def test_help_tells_every_option():
    process = spawn("--help")
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    for option in ("--host", "--port", "--grpc-port", "--store", "--max-bytes", "--allow-host", "--token"):
        assert option in out


def test_the_server_needs_neither_the_recorder_nor_the_sdk():
    script = "import sys, mmtrace.server.running; print([name for name in sys.modules if name.startswith(%r)])"
    for heavy in ("mmtrace.recording", "mmtrace.transport", "mmtrace.export", "opentelemetry.sdk"):
        out = subprocess.run(
            [sys.executable, "-c", script % heavy],
            env={"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert out.stdout.strip() == "[]"
