"""What every test stands on: no leaked thread or context, a state of its own on disk, and spans on demand."""

import contextlib
import logging
import os
import signal
import time
import uuid

import hypothesis
import pytest
from opentelemetry import propagate

from mmtrace.recording import guard
from mmtrace.recording.propagation import propagator_from
from mmtrace.testing import no_leaks, record_spans
from receiver import Receiver

hypothesis.settings.register_profile(
    "repeatable",
    hypothesis.settings(),
    derandomize=True,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def _no_leaks(request):
    if request.node.get_closest_marker("leaks"):
        yield
        return
    with no_leaks():
        yield


@pytest.fixture(autouse=True)
def _nothing_reported_before():
    """What was reported in one test is news in the next."""
    guard.forget()
    yield
    guard.forget()


@pytest.fixture
def said(caplog):
    """The log lines of mmtrace so far."""
    caplog.set_level(logging.DEBUG, "mmtrace")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "mmtrace"]


@pytest.fixture
def eventually():
    """Waits until something is true: `eventually(lambda: len(spans.unclaimed) == 2)`."""

    def wait(condition, patience=60.0):
        deadline = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < deadline, "it did not come true"
            time.sleep(0.002)

    return wait


@pytest.fixture
def w3c():
    """The propagators that `configure()` installs."""
    before = propagate.get_global_textmap()
    propagate.set_global_textmap(propagator_from(["tracecontext", "baggage"]))
    yield
    propagate.set_global_textmap(before)


@pytest.fixture
def recorded():
    """Spans of this process in memory, with a clock and ids that are known; the test claims them all."""
    with record_spans() as spans:
        yield spans


@contextlib.contextmanager
def _nothing_from_outside(tmp_path_factory):
    """No setting of whoever runs the tests, nothing that others left on disk, and no other's metrics."""
    folder = tmp_path_factory.getbasetemp() / f"state-{uuid.uuid4().hex}"
    with pytest.MonkeyPatch.context() as environment:
        for name in os.environ:
            if name.startswith(("OTEL_", "MMTRACE_")):
                environment.delenv(name)
        environment.setenv("XDG_STATE_HOME", str(folder))
        environment.setenv("MMTRACE_METRICS_DIR", str(folder / "metrics"))
        yield


@pytest.fixture(scope="session", autouse=True)
def _session_of_its_own(tmp_path_factory):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background ignores it
    with _nothing_from_outside(tmp_path_factory):
        yield


@pytest.fixture(scope="module", autouse=True)
def _module_of_its_own(tmp_path_factory):
    with _nothing_from_outside(tmp_path_factory):
        yield


@pytest.fixture(autouse=True)
def _test_of_its_own(tmp_path_factory):
    with _nothing_from_outside(tmp_path_factory):
        yield


@pytest.fixture
def receiver(_no_leaks):
    """A real OTLP receiver on the loopback address, over HTTP and gRPC."""
    with Receiver() as receiving:
        yield receiving
