import gzip
import os
from pathlib import Path

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
NO_LIMIT = [("grpc.max_send_message_length", -1)]


@pytest.fixture
def connect():
    channels = []

    def connect(server, compression=None):
        channel = grpc.insecure_channel(server.grpc_url.removeprefix("http://"), NO_LIMIT, compression)
        channels.append(channel)
        return channel

    yield connect
    for channel in channels:
        channel.close()


@pytest.mark.parametrize("compression", [None, grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_spans_are_taken_in_every_encoding(server, connect, kit, compression):
    spans = [kit.span(f"span {number}") for number in range(50)]
    stub = TraceServiceStub(connect(server, compression))
    assert stub.Export(kit.request(*spans), timeout=10) == ExportTraceServiceResponse()
    assert server.store.trace(kit.number(spans[49])).root.name == "span 49"
    assert server.store.stats().spans == 50


def test_spans_without_valid_ids_are_counted(server, connect, kit):
    span = kit.span()
    span.span_id = b""
    answer = TraceServiceStub(connect(server)).Export(kit.request(span), timeout=10)
    assert answer.partial_success.rejected_spans == 1


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_the_stock_exporters_are_understood(server, compression):
    where = {"endpoint": server.grpc_url, "insecure": True, "compression": compression}
    resource = Resource({"service.name": "stock"})
    tracing = TracerProvider(resource=resource)
    tracing.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(**where)))
    span = tracing.get_tracer("t").start_span("stock span")
    span.end()
    metrics = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter(**where), 1e9)], resource=resource)
    metrics.get_meter("m").create_counter("things").add(3)
    logs = LoggerProvider(resource=resource)
    logs.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(**where)))
    logs.get_logger("l").emit(body="hello", timestamp=5)
    for provider in (tracing, metrics, logs):
        provider.shutdown()
    assert server.store.trace(span.get_span_context().trace_id).root.name == "stock span"
    assert server.store.metrics(0, 1 << 62, name="things", limit=1)[0].service == "stock"
    assert server.store.stats().logs == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"\xff\xff", grpc.StatusCode.INVALID_ARGUMENT),
        (b"\x1f\x8bdamaged", grpc.StatusCode.INVALID_ARGUMENT),
        (gzip.compress(bytes(17 << 20)), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (bytes((16 << 20) + 1), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
    ids=["damaged", "damaged gzip", "unpacks too large", "too large"],
)
def test_a_bad_message_is_refused_and_nothing_stored(server, connect, body, code):
    with pytest.raises(grpc.RpcError) as caught:
        connect(server).unary_unary(EXPORT)(body, timeout=20)
    assert caught.value.code() == code
    assert caught.value.details()
    assert server.store.stats().spans == 0


def test_a_compressed_bomb_takes_no_memory(server, connect):
    before = _resident()
    with pytest.raises(grpc.RpcError) as caught:
        connect(server, grpc.Compression.Gzip).unary_unary(EXPORT)(bytes(200 << 20), timeout=60)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "16 MiB" in caught.value.details()
    assert _resident() - before < 100 << 20


def _resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_many_senders_at_a_time_are_all_served(server, connect, kit):
    stub = TraceServiceStub(connect(server))
    calls = [stub.Export.future(kit.request(kit.span()), timeout=30) for _ in range(100)]
    for call in calls:
        call.result()
    assert server.store.stats().spans == 100


def test_an_unknown_method_is_unimplemented(server, connect):
    with pytest.raises(grpc.RpcError) as caught:
        connect(server).unary_unary("/opentelemetry.Nothing/Export")(b"", timeout=10)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_when_the_store_is_behind_the_answer_is_unavailable(server, connect, kit, monkeypatch):
    monkeypatch.setattr(server.store._writer, "_closing", True)
    with pytest.raises(grpc.RpcError) as caught:
        TraceServiceStub(connect(server)).Export(kit.request(kit.span()), timeout=10)
    monkeypatch.undo()
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    "metadata", [(), (("authorization", "Bearer wrong-token"),), (("authorization", "sesame-open"),)]
)
def test_with_a_token_only_those_who_know_it_are_served(start, connect, kit, metadata):
    server = start(token="sesame-open")
    stub = TraceServiceStub(connect(server))
    with pytest.raises(grpc.RpcError) as caught:
        stub.Export(kit.request(kit.span()), timeout=10, metadata=metadata)
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert "token" in caught.value.details()
    assert server.store.stats().spans == 0
    stub.Export(kit.request(kit.span()), timeout=10, metadata=[("authorization", "Bearer sesame-open")])
    assert server.store.stats().spans == 1
