"""The console: one readable line for each span, point and record."""

import io

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from mmtrace.export.console import Console
from mmtrace.transport import ACCEPTED, Signal

TRACE_ID, SPAN_ID = b"\xab" * 16, b"\xcd" * 8


@pytest.fixture
def shown():
    def show(signal, request):
        stream = io.StringIO()
        assert Console(stream).export(signal, request.SerializeToString(), 1, 5) == ACCEPTED
        return stream.getvalue().splitlines()

    return show


def traces(**more):
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "ocr"
    span = resource.scope_spans.add().spans.add(
        trace_id=TRACE_ID, span_id=SPAN_ID, name="read page", end_time_unix_nano=12_500_000, **more
    )
    return request, span


def test_a_span_is_one_line_with_its_duration_service_and_name(shown):
    request, span = traces()
    span.attributes.add(key="pages").value.int_value = 3
    (line,) = shown(Signal.TRACES, request)
    assert "12.500 ms  ocr  read page" in line
    assert "ab" * 16 in line
    assert "pages=3" in line


def test_an_error_shows(shown):
    request, span = traces()
    span.status.code, span.status.message = 2, "no paper"
    assert "ERROR no paper" in shown(Signal.TRACES, request)[0]


def test_long_values_and_control_characters_cannot_break_a_line(shown):
    request, span = traces()
    span.attributes.add(key="text").value.string_value = "\x1b[31m\n" + "x" * 1000
    (line,) = shown(Signal.TRACES, request)
    assert "\x1b" not in line
    assert len(line) < 400


def test_every_point_of_a_metric_is_a_line(shown):
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    metrics.add(name="queue").gauge.data_points.add(as_int=3)
    points = metrics.add(name="latency", unit="s").histogram.data_points
    points.add(count=2, sum=0.5).attributes.add(key="model").value.string_value = "ocr"
    first, second = shown(Signal.METRICS, request)
    assert first.endswith("queue 3")
    assert second.endswith("latency count=2 sum=0.5 s model=ocr")


def test_a_record_is_a_line(shown):
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add(severity_text="WARN", trace_id=TRACE_ID)
    record.body.string_value = "low ink"
    assert "WARN low ink" in shown(Signal.LOGS, request)[0]


def test_it_prints_to_standard_output_as_it_is_now(capsys):
    Console().export(Signal.TRACES, traces()[0].SerializeToString(), 1, 5)
    assert "read page" in capsys.readouterr().out


def test_a_stream_that_is_closed_turns_it_off():
    stream = io.StringIO()
    stream.close()
    assert Console(stream).export(Signal.TRACES, traces()[0].SerializeToString(), 1, 5).kind == "unsupported"


def test_damaged_bytes_are_rejected():
    assert Console(io.StringIO()).export(Signal.LOGS, b"\xff\xff", 1, 5).kind == "rejected"
