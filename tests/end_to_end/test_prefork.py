"""A service that gunicorn multiplies, as its users start it: whoever is asked tells the metrics of all workers."""

import os
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse

from asking import answered
from ports import free_port

BIN = Path(sys.executable).parent
SERVICES = Path(__file__).parent / "services"
CALLS = 30
UVICORN = "uvicorn.workers.UvicornWorker"


@pytest.fixture(params=["run", "run preload", "configure", "configure preload"])
def start(request, tmp_path, receiver):
    """Start the service with a kind of worker; return where it answers and where Prometheus scrapes it."""
    how, *preload = request.param.split()
    http, scraped = free_port(), free_port()
    environment = {
        **receiver.environment,
        "MMTRACE_METRICS_EXPORTER": "otlp,prometheus",
        "MMTRACE_PROMETHEUS_HOST": "127.0.0.1",
        "MMTRACE_PROMETHEUS_PORT": str(scraped),
        **({"CONFIGURE": "1"} if how == "configure" else {}),
    }
    started = []

    def start(kind):
        app = "prefork:asgi" if kind == UVICORN else "prefork:wsgi"
        run = [str(BIN / "mmtrace"), "run", "--service", "prefork"] if how == "run" else []
        gunicorn = [str(BIN / "gunicorn"), "--workers", "3", "--bind", f"127.0.0.1:{http}", "--worker-class", kind, app]
        flags = [f"--{flag}" for flag in preload]
        with (tmp_path / "log").open("w") as log:
            command = [*run, *gunicorn, *flags]
            started.append(subprocess.Popen(command, env=environment, cwd=SERVICES, stdout=log, stderr=log))
        answered(lambda: get(http, "metrics"))
        return http, scraped

    yield start
    for process in started:
        process.send_signal(signal.SIGTERM)
        process.wait(300)


def get(port, path="", accept=""):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{path}", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode()


def calls(port):
    """How many calls a page tells of; it has an example as soon as it has one."""
    text = get(port, "metrics", "application/openmetrics-text; version=1.0.0")
    families = [family for family in parse(text) if family.name == "mmtrace_model_call_duration_seconds"]
    samples = [sample for family in families for sample in family.samples]
    assert not samples or any(sample.exemplar for sample in samples)
    return sum(sample.value for sample in samples if sample.name.endswith("_count"))


def owner(port, pids):
    """Which of the processes listens on the port, if any."""
    table = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{row[9]}]" for row in table if row[1].endswith(f":{port:04X}") and row[3] == "0A"}
    for pid in pids:
        if sockets & {os.readlink(file) for file in Path(f"/proc/{pid}/fd").iterdir()}:  # noqa: PTH115 - no paths
            return pid
    return None


@pytest.mark.parametrize("kind", ["sync", UVICORN])
def test_every_page_gives_the_sums_over_all_workers_also_after_the_owner_of_the_port_was_killed(start, kind):
    http, scraped = start(kind)
    pids = Counter(int(get(http)) for _ in range(CALLS))
    answered(lambda: calls(scraped), CALLS)
    for _ in range(6):
        assert calls(http) == CALLS
    killed = owner(scraped, pids) or next(iter(pids))
    os.kill(killed, signal.SIGKILL)
    assert answered(lambda: calls(scraped)) == CALLS
    answered(lambda: get(http))
    for _ in range(6):
        get(http)
    answered(lambda: calls(scraped), CALLS + 7)
    assert calls(http) == CALLS + 7
