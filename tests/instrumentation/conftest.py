"""What tests of instrumentations share: the patches of a library for one test, a real server, and patience."""

import contextlib
import importlib
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import uvicorn
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from brokers import KafkaBroker, RedisServer
from mmtrace.patching.engine import Engine
from mmtrace.patching.options import Options, options, put_options
from mmtrace.testing import record_spans
from mmtrace_instrumentation.shapes import exchange


@pytest.fixture
def spans():
    """Spans of this process in memory, with real clocks and ids; the test claims them all."""
    with record_spans(deterministic=False) as recorded:
        yield recorded


@pytest.fixture
def instrument():
    """Applies the patches of libraries, `instrument("httpx", "fastapi")`, until the end of the test."""
    before, engine = options(), Engine()

    def apply(*libraries, name="instrumentation", **given):
        modules = [importlib.import_module(f"mmtrace_instrumentation.{library}") for library in libraries]
        engine.instrument([getattr(module, name) for module in modules], Options(**given))
        failed = [row for row in engine.rows() if row.state == "failed"]
        assert not failed, failed
        return engine.rows()

    yield apply
    engine.undo()
    put_options(before)


@pytest.fixture
def measured(monkeypatch):
    """Returns the points of a metric that was measured in this test: `measured("http.client.request.duration")`."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    monkeypatch.setattr(exchange, "get_meter", provider.get_meter)
    exchange.histogram.cache_clear()

    def points(name):
        data = reader.get_metrics_data()
        metrics = [metric for scope in data.resource_metrics[0].scope_metrics for metric in scope.metrics]
        (metric,) = (metric for metric in metrics if metric.name == name)
        assert metric.unit == "s"
        return metric.data.data_points

    yield points
    exchange.histogram.cache_clear()
    provider.shutdown()


@pytest.fixture
def take(spans, eventually):
    """Waits for so many spans and claims them; by name where their names differ."""

    def taken(count):
        eventually(lambda: len(spans.unclaimed) >= count)
        return spans.take()

    return taken


@contextlib.contextmanager
def _running(app, **config):
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", **config))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.005)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def serve():
    """Serves an ASGI application on a real socket of 127.0.0.1: `serve(app)` returns the port."""
    with contextlib.ExitStack() as stack:
        yield lambda app, **config: stack.enter_context(_running(app, **config))


@pytest.fixture(scope="module")
def serve_for_module():
    """Like `serve`, with servers that all tests of a module share."""
    with contextlib.ExitStack() as stack:
        yield lambda app, **config: stack.enter_context(_running(app, **config))


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    """A real redis-server that all tests share; each uses streams of its own."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def kafka_broker():
    """A broker of Kafka that all tests share; each uses topics of its own."""
    with KafkaBroker() as broker:
        yield broker


@pytest.fixture
def start(receiver, tmp_path):
    """Starts a program under `mmtrace run`: `start("producer", source, REDIS=url)` returns its process."""
    with contextlib.ExitStack() as stack:

        def started(name, source, **more):
            program = tmp_path / f"{name}.py"
            program.write_text(source)
            command = [Path(sys.executable).with_name("mmtrace"), "run", "--service", name, "python", program]
            pipes = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            process = stack.enter_context(subprocess.Popen(command, env={**receiver.environment, **more}, **pipes))
            stack.callback(process.kill)
            return process

        yield started
