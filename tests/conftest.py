"""What every test stands on: no leaked thread or context, a state of its own on disk, and spans on demand."""

import contextlib
import os
import signal
import uuid

import hypothesis
import pytest

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
