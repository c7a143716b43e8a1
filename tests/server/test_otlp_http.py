import gzip
import json
import zlib

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import Compression, OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

JSON = {"Content-Type": "application/json"}


def compressed_raw(body):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("gzip", lambda body: gzip.compress(body[:7]) + gzip.compress(body[7:])),
        ("deflate", zlib.compress),
        ("deflate", compressed_raw),
        ("GZIP", gzip.compress),
    ],
)
def test_protobuf_is_taken_in_every_encoding(server, client, kit, encoding, pack):
    span = kit.span("packed")
    body = pack(kit.request(span).SerializeToString())
    answer = client.post("/v1/traces", content=body, headers={**kit.protobuf, "Content-Encoding": encoding})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-protobuf"
    assert ExportTraceServiceResponse.FromString(answer.content) == ExportTraceServiceResponse()
    assert server.store.trace(kit.number(span)).root.name == "packed"


def test_json_is_taken_with_hexadecimal_ids_and_answered_in_json(server, client):
    body = {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "web"}}]},
                "scopeSpans": [
                    {
                        "scope": {"name": "browser"},
                        "spans": [
                            {
                                "traceId": "5B8EFFF798038103D269B633813FC60C",
                                "spanId": "EEE19B7EC3C1B174",
                                "parentSpanId": "EEE19B7EC3C1B173",
                                "name": "click",
                                "kind": 2,
                                "startTimeUnixNano": "1544712660000000000",
                                "endTimeUnixNano": 1544712661000000000,
                                "attributes": [
                                    {"key": "count", "value": {"intValue": "7"}},
                                    {"key": "half", "value": {"stringValue": "\ud83d"}},
                                ],
                                "links": [
                                    {"traceId": "5b8efff798038103d269b633813fc60d", "spanId": "eee19b7ec3c1b175"}
                                ],
                            }
                        ],
                    }
                ],
            }
        ]
    }
    answer = client.post(
        "/v1/traces", content=json.dumps(body), headers={"Content-Type": "application/json; charset=utf-8"}
    )
    assert (answer.status_code, answer.json()) == (200, {})
    assert answer.headers["content-type"] == "application/json"
    span = server.store.trace(0x5B8EFFF798038103D269B633813FC60C).root
    assert (span.name, span.service, span.scope.name) == ("click", "web", "browser")
    assert span.parent_span_id == 0xEEE19B7EC3C1B173
    assert span.links[0].span_id == 0xEEE19B7EC3C1B175
    assert span.attributes == {"count": 7, "half": "?"}
    assert span.duration == 1.0


def test_an_unknown_field_of_json_is_left_out(server, client):
    assert client.post("/v1/traces", content='{"resourceSpans": [], "new": [1]}', headers=JSON).json() == {}


def test_spans_without_valid_ids_are_counted_and_the_others_kept(server, client, kit):
    good, short, zero = kit.span("good"), kit.span(), kit.span()
    short.trace_id, zero.span_id = b"short", bytes(8)
    answer = kit.send(client, short, good, zero)
    assert answer.status_code == 200
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert partial.rejected_spans == 2
    assert "span id" in partial.error_message
    assert server.store.stats().spans == 1


@pytest.mark.parametrize(
    ("path", "kind"), [("/v1/metrics", ExportMetricsServiceResponse), ("/v1/logs", ExportLogsServiceResponse)]
)
def test_an_empty_body_is_an_empty_request(client, kit, path, kind):
    answer = client.post(path, content=b"", headers=kit.protobuf)
    assert answer.status_code == 200
    assert kind.FromString(answer.content) == kind()


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip, Compression.Deflate])
def test_the_stock_span_exporter_is_understood(server, compression):
    exporter = OTLPSpanExporter(endpoint=f"{server.url}/v1/traces", compression=compression)
    provider = TracerProvider(resource=Resource({"service.name": "stock"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("t").start_as_current_span("outer", attributes={"list": ["a", "b"]}) as outer:
        outer.add_event("tick", {"n": 1})
        with provider.get_tracer("t").start_as_current_span("inner", kind=trace.SpanKind.CLIENT):
            pass
    provider.shutdown()
    found = server.store.trace(outer.get_span_context().trace_id)
    assert [span.name for span in found.spans] == ["outer", "inner"]
    assert found.root.attributes == {"list": ("a", "b")}
    assert found.root.events[0].attributes == {"n": 1}
    assert found.spans[1].parent_span_id == found.root.span_id
    assert found.services == ("stock",)


def test_the_stock_metric_exporter_is_understood(server):
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=f"{server.url}/v1/metrics"), 1e9)
    provider = MeterProvider([reader], resource=Resource({"service.name": "stock"}))
    provider.get_meter("m").create_counter("things").add(3)
    provider.shutdown()
    (metric,) = server.store.metrics(0, 1 << 62, name="things", limit=5)
    assert metric.service == "stock"


def test_the_stock_log_exporter_is_understood(server):
    from opentelemetry._logs import LogRecord, SeverityNumber
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor

    provider = LoggerProvider(resource=Resource({"service.name": "stock"}))
    provider.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(endpoint=f"{server.url}/v1/logs")))
    record = LogRecord(timestamp=5, body="hello", severity_number=SeverityNumber.WARN, severity_text="WARN")
    provider.get_logger("l").emit(record)
    provider.shutdown()
    assert server.store.stats().logs == 1


@pytest.mark.parametrize(
    "text",
    ["<script>alert('x')</script>", "'; DROP TABLE spans; --", 'a "quoted" \\ \0 text', "é漢🦉\u202e", "m" * (1 << 20)],
    ids=["html", "sql", "quotes", "unicode", "megabyte"],
)
def test_any_text_comes_back_as_text(server, client, kit, text):
    span = kit.span(text[:300], value=text)
    span.attributes.append(kit.key_value(text[:300], "key"))
    assert kit.send(client, span, service=text).status_code == 200
    found = server.store.trace(kit.number(span)).root
    assert (found.name, found.service) == (text[:300], text)
    assert found.attributes == {"value": text, text[:300]: "key"}
    answer = client.get(f"/api/v3/traces/{kit.number(span):032x}")
    assert answer.headers["content-type"] == "application/json"
    (sent,) = answer.json()["result"]["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert {"key": "value", "value": {"stringValue": text}} in sent["attributes"]


def test_a_body_in_many_chunks_is_one_body(server, client, kit):
    body = kit.request(*(kit.span("chunked") for _ in range(2000))).SerializeToString()
    chunks = (body[at : at + 999] for at in range(0, len(body), 999))
    assert client.post("/v1/traces", content=chunks, headers=kit.protobuf).status_code == 200
    assert server.store.stats().spans == 2000
