"""What every test stands on: no leaked thread or context, and spans on demand."""

import os
import uuid

import pytest

from mmtrace.testing import no_leaks, record_spans
from receiver import Receiver


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


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch, tmp_path_factory):
    """A test sees no setting of whoever runs it, nothing that an earlier test left on disk, and no other's metrics."""
    for name in os.environ:
        if name.startswith(("OTEL_", "MMTRACE_")):
            monkeypatch.delenv(name)
    folder = tmp_path_factory.getbasetemp() / f"state-{uuid.uuid4().hex}"
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    monkeypatch.setenv("MMTRACE_METRICS_DIR", str(folder / "metrics"))


@pytest.fixture
def receiver(_no_leaks):
    """A real OTLP receiver on the loopback address, over HTTP and gRPC."""
    with Receiver() as receiving:
        yield receiving
