"""Collectors that end in the middle, by kill -9 or when asked, and start again: nothing that they took is lost."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backends.running import Running, until
from backends.stack import Jaeger, agent, gateway

SERVICE = Path(__file__).parent / "services" / "steady.py"


class Sender:
    """The service while it runs; `finish()` ends it and returns the ids of its traces."""

    def __init__(self, url, folder):
        self._ids = folder / "ids"
        environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": url}
        command = [sys.executable, SERVICE, self._ids]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._process.kill()
        self._process.communicate()

    def finish(self):
        said, _ = self._process.communicate(timeout=90)
        assert self._process.returncode == 0
        return {int(trace_id, 16) for trace_id in self._ids.read_text().split()}, said


@pytest.fixture
def chain(tmp_path):
    with (
        Jaeger(tmp_path / "jaeger") as jaeger,
        gateway(tmp_path / "gateway", "gateway-keep-all.yaml", jaeger=jaeger.endpoint) as behind,
        agent(tmp_path / "agent", behind.grpc_port) as first,
    ):
        yield first, behind, jaeger


@pytest.fixture
def sender(chain, tmp_path):
    with Sender(chain[0].url, tmp_path) as sending:
        until(lambda: len(_held(chain[2])) > 50, 60, "spans flow")
        yield sending


def _held(jaeger):
    return {trace_id for trace_id, trace in jaeger.all_traces().items() if len(trace.spans) == 3}


def _grows(collector, counter, by):
    before = collector.measured(counter)
    until(lambda: collector.measured(counter) >= before + by, 60, f"{counter} grows")


ENDS = pytest.mark.parametrize("end", [Running.kill, Running.stop], ids=["killed", "stopped"])


@ENDS
def test_an_agent_that_ends_with_a_full_queue_loses_nothing(chain, sender, end):
    first, behind, jaeger = chain
    behind.kill()
    _grows(first, "otelcol_receiver_accepted_spans", 300)
    end(first)
    first.start()
    _grows(first, "otelcol_receiver_accepted_spans", 100)
    behind.start()
    sent, said = sender.finish()
    assert len(sent) > 150, said
    until(lambda: _held(jaeger) == sent, 90, f"{len(sent)} traces are in Jaeger")


@ENDS
def test_a_gateway_that_keeps_all_and_ends_with_a_full_queue_loses_nothing(chain, sender, end):
    _, behind, jaeger = chain
    jaeger.pause()
    _grows(behind, "otelcol_receiver_accepted_spans", 300)
    end(behind)
    behind.start()
    jaeger.resume()
    sent, said = sender.finish()
    assert len(sent) > 150, said
    until(lambda: _held(jaeger) == sent, 90, f"{len(sent)} traces are in Jaeger")
