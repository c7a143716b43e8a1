"""OTLP over gRPC, against a real server: what is sent, what each answer means, TLS, forks."""

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from mmtrace.errors import ConfigurationError
from mmtrace.export.otlp_grpc import OtlpGrpc
from mmtrace.export.target import Target
from mmtrace.transport import ACCEPTED, Pipeline, Signal

BODY = ExportTraceServiceRequest(
    resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=[Span(name="read page")])])]
).SerializeToString()
Code = grpc.StatusCode


@pytest.fixture
def exporter(opened):
    """Makes an exporter of all signals to a port, or to a whole address."""

    def make(where, **options):
        url = where if isinstance(where, str) else f"http://127.0.0.1:{where}"
        target = Target(url, **options)
        return opened(OtlpGrpc(dict.fromkeys(Signal, target), agent="mmtrace/1"))

    return make


@pytest.fixture
def send():
    return lambda exporter, timeout=5.0: exporter.export(Signal.TRACES, BODY, 1, timeout)


def retry_info(seconds):
    detail = Any()
    detail.Pack(RetryInfo(retry_delay=Duration(seconds=int(seconds), nanos=round(seconds % 1 * 1e9))))
    return (("grpc-status-details-bin", Status(code=8, message="busy", details=[detail]).SerializeToString()),)


def test_the_bytes_arrive_as_the_request_of_their_service(grpc_receiver, exporter, send):
    receiver = grpc_receiver()
    assert send(exporter(receiver.port)) == ACCEPTED
    assert receiver.requests[0].resource_spans[0].scope_spans[0].spans[0].name == "read page"
    assert "mmtrace/1" in receiver.metadata[0]["user-agent"]


def test_every_signal_has_its_service(grpc_receiver, exporter):
    receiver = grpc_receiver()
    made = exporter(receiver.port)
    assert [made.export(signal, b"", 0, 5).kind for signal in Signal] == ["accepted"] * 3
    assert [type(request).__name__ for request in receiver.requests] == [
        "ExportTraceServiceRequest",
        "ExportMetricsServiceRequest",
        "ExportLogsServiceRequest",
    ]


def test_headers_become_metadata_in_lower_case(grpc_receiver, exporter, send):
    receiver = grpc_receiver()
    send(exporter(receiver.port, headers={"X-Api-Key": "secret"}))
    assert receiver.metadata[0]["x-api-key"] == "secret"


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
def test_a_compressed_request_arrives_whole(grpc_receiver, exporter, send, compression):
    receiver = grpc_receiver()
    assert send(exporter(receiver.port, compression=compression)) == ACCEPTED
    assert receiver.requests[0].SerializeToString() == BODY


def test_a_partial_success_says_how_much_was_rejected_and_why(grpc_receiver, exporter, send):
    receiver = grpc_receiver()
    partial = ExportTracePartialSuccess(rejected_spans=3, error_message="bad ids")
    receiver.answers.append(ExportTraceServiceResponse(partial_success=partial))
    outcome = send(exporter(receiver.port))
    assert (outcome.kind, outcome.rejected, outcome.message) == ("accepted", 3, "bad ids")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (Code.CANCELLED, "retry"),
        (Code.DEADLINE_EXCEEDED, "retry"),
        (Code.ABORTED, "retry"),
        (Code.OUT_OF_RANGE, "retry"),
        (Code.UNAVAILABLE, "retry"),
        (Code.DATA_LOSS, "retry"),
        (Code.UNIMPLEMENTED, "unsupported"),
        (Code.INVALID_ARGUMENT, "rejected"),
        (Code.UNAUTHENTICATED, "rejected"),
        (Code.PERMISSION_DENIED, "rejected"),
        (Code.INTERNAL, "rejected"),
        (Code.UNKNOWN, "rejected"),
        (Code.RESOURCE_EXHAUSTED, "rejected"),
    ],
)
def test_each_status_has_its_meaning(grpc_receiver, exporter, send, code, kind):
    receiver = grpc_receiver()
    receiver.abort(code, "because of this")
    outcome = send(exporter(receiver.port))
    assert (outcome.kind, outcome.answered) == (kind, True)
    assert f"{code.name} (because of this)" in outcome.message


def test_the_delay_that_a_receiver_asks_for_is_honoured(grpc_receiver, exporter, send):
    receiver = grpc_receiver()
    receiver.abort(Code.RESOURCE_EXHAUSTED, "busy", retry_info(2.5))
    outcome = send(exporter(receiver.port))
    assert (outcome.kind, outcome.retry_after) == ("retry", 2.5)


def test_a_real_server_whose_limit_is_exceeded_means_too_large(grpc_receiver, exporter, send):
    receiver = grpc_receiver(**{"grpc.max_receive_message_length": 5})
    assert send(exporter(receiver.port)).kind == "too_large"


def test_a_service_that_is_not_there_is_unsupported(grpc_receiver, exporter):
    made = exporter(grpc_receiver(services=("traces",)).port)
    outcome = made.export(Signal.METRICS, b"", 1, 5)
    assert outcome.kind == "unsupported"
    assert "metrics" in outcome.message


def test_nobody_listening_is_tried_again_and_explained(exporter, send):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        outcome = send(exporter(probe.getsockname()[1]))
    assert (outcome.kind, outcome.answered) == ("retry", False)
    assert "mmtrace serve" in outcome.message


def test_a_receiver_that_hangs_is_left_at_the_timeout(exporter, send):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begin = time.monotonic()
        assert send(exporter(silent.getsockname()[1], timeout=0.3)).kind == "retry"
    assert time.monotonic() - begin < 3


def test_the_port_of_http_is_recognised(http_receiver, exporter, send):
    outcome = send(exporter(http_receiver.server_port))
    assert outcome.kind == "retry"
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf" in outcome.message


@pytest.fixture
def secure(grpc_receiver, certificates):
    """A receiver that speaks TLS and asks for a client certificate."""
    certificate, key = (Path(path).read_bytes() for path in certificates)
    return grpc_receiver(grpc.ssl_server_credentials([(key, certificate)], certificate, require_client_auth=True))


def test_tls_is_spoken_with_https_and_both_show_certificates(secure, certificates, exporter, send):
    certificate, key = certificates
    url = f"https://localhost:{secure.port}"
    made = exporter(url, certificate=certificate, client_certificate=certificate, client_key=key)
    assert send(made) == ACCEPTED


def test_tls_trusts_nobody_else(secure, exporter, send):
    assert send(exporter(f"https://localhost:{secure.port}")).kind == "retry"
    assert secure.requests == []


def test_a_target_without_a_scheme_is_secure_unless_it_is_said_to_be_insecure(grpc_receiver, exporter, send):
    receiver = grpc_receiver()
    assert send(exporter(f"localhost:{receiver.port}", timeout=2)).kind == "retry"
    assert send(exporter(f"localhost:{receiver.port}", insecure=True)) == ACCEPTED


def test_a_path_in_the_address_is_left_out(grpc_receiver, exporter, send):
    assert send(exporter(f"http://127.0.0.1:{grpc_receiver().port}/v1/traces")) == ACCEPTED


def test_a_header_that_grpc_cannot_carry_is_a_configuration_error():
    with pytest.raises(ConfigurationError, match="x key"):
        OtlpGrpc({Signal.TRACES: Target("http://x", headers={"x key": "1"})})


def test_a_certificate_that_cannot_be_read_is_a_configuration_error():
    with pytest.raises(ConfigurationError, match=r"nowhere\.pem"):
        OtlpGrpc({Signal.TRACES: Target("https://x", certificate="nowhere.pem")})


def test_children_of_a_process_that_exports_all_the_time_deliver(opened, tmp_path):
    """The receiver is another process: a gRPC server in the forking one is a case of its own."""
    receiver = _Elsewhere()
    pipeline = Pipeline(opened(OtlpGrpc({Signal.TRACES: Target(receiver.url)})), schedule_delay=0.005)
    stop = threading.Event()

    def produce():
        while not stop.is_set():
            pipeline.add(Signal.TRACES, None, BODY)
            time.sleep(0.001)

    producer = threading.Thread(target=produce)
    producer.start()
    time.sleep(0.2)
    children = []
    for _ in range(5):
        pid = os.fork()
        if pid == 0:
            pipeline.add(Signal.TRACES, None, BODY)
            pipeline.flush(60)
            os._exit(0 if pipeline.health.exported == 1 else 1)
        children.append(pid)
        time.sleep(0.02)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    stop.set()
    producer.join()
    result = pipeline.shutdown(10)
    receiver.end()
    assert codes == [0] * 5
    assert (result.dropped, result.waiting) == (0, 0)
    assert pipeline.health.exported == pipeline.health.started


class _Elsewhere:
    """A receiver of traces in a process of its own."""

    def __init__(self):
        program = (
            "import grpc, sys\n"
            "from concurrent import futures\n"
            "from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as m, trace_service_pb2_grpc as s\n"
            "class T(s.TraceServiceServicer):\n"
            "    def Export(self, request, context): return m.ExportTraceServiceResponse()\n"
            "server = grpc.server(futures.ThreadPoolExecutor(4))\n"
            "s.add_TraceServiceServicer_to_server(T(), server)\n"
            "port = server.add_insecure_port('127.0.0.1:0')\n"
            "server.start()\n"
            "print(port, flush=True)\n"
            "sys.stdin.read()\n"
        )
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe, text=True)
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def end(self):
        self._process.communicate(timeout=300)
