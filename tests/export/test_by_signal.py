"""Different protocols for different signals behind one pipeline."""

import io

from mmtrace.export.by_signal import BySignal
from mmtrace.export.console import Console
from mmtrace.export.otlp_grpc import OtlpGrpc
from mmtrace.export.otlp_http import OtlpHttp
from mmtrace.export.target import Target
from mmtrace.transport import Signal


def test_each_signal_goes_by_its_own_exporter(http_receiver, grpc_receiver, opened):
    receiver = grpc_receiver()
    by_http = OtlpHttp({Signal.TRACES: Target(f"{http_receiver.url}/v1/traces")})
    by_grpc = OtlpGrpc({Signal.LOGS: Target(f"http://127.0.0.1:{receiver.port}")})
    both = opened(BySignal({Signal.TRACES: by_http, Signal.LOGS: by_grpc}))
    assert both.export(Signal.TRACES, b"", 1, 5).kind == "accepted"
    assert both.export(Signal.LOGS, b"", 1, 5).kind == "accepted"
    assert both.export(Signal.METRICS, b"", 1, 5).kind == "unsupported"
    assert (len(http_receiver.requests), len(receiver.requests)) == (1, 1)


def test_it_is_quiet_before_a_fork_where_one_of_them_asks_for_it():
    quiet, loud = OtlpGrpc({Signal.LOGS: Target("http://x")}), Console(io.StringIO())
    assert BySignal({Signal.LOGS: quiet, Signal.TRACES: loud}).quiet_before_fork
    assert not BySignal({Signal.TRACES: loud}).quiet_before_fork
    assert BySignal({Signal.TRACES: loud, Signal.LOGS: loud}).where == "the console"
