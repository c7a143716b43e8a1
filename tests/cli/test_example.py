"""The example service of collector-config/kubernetes, started as its manifest starts it."""

import json
import signal
from pathlib import Path

import yaml

EXAMPLE = Path(__file__).parents[2] / "collector-config" / "kubernetes" / "example"


def test_a_service_that_knows_nothing_of_mmtrace_is_traced_and_its_log_lines_name_the_trace(
    serve, receiver, tmp_path, monkeypatch
):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # the example is a folder that is shipped
    process, ask = serve(
        "--service", "digits", "--log-handlers", "json", "--log-level", "INFO", *command(), ready="/healthz"
    )
    answer = json.loads(ask("/digits/3"))
    process.send_signal(signal.SIGTERM)
    process.wait(300)
    assert answer == {"shows": 3}
    (request,) = [span for span in receiver.kinds("SERVER") if span.name == "GET /digits/{number}"]
    (call,) = [span for span in receiver.spans if span.model]
    assert (call.trace_id, call.parent_span_id) == (request.trace_id, request.span_id)
    (line,) = [line for line in (tmp_path / "log").read_text().splitlines() if "image 3 shows 3" in line]
    assert json.loads(line)["trace_id"] == f"{request.trace_id:032x}"
    assert json.loads(line)["service"] == "digits"


def command():
    """Return what the manifest gives to `mmtrace run`, on a free port of this machine."""
    _, deployment = yaml.safe_load_all((EXAMPLE / "service.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    words = container["args"][0].partition("mmtrace run ")[2].split()
    assert words[words.index("--port") + 1] == "8000"
    for option, value in {"--app-dir": str(EXAMPLE), "--host": "127.0.0.1", "--port": "{port}"}.items():
        words[words.index(option) + 1] = value
    return words
