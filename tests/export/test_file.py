"""The file of OTLP-JSON lines: readable by our decoder, private, whole lines also from several processes."""

import json
import os
import stat

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from mmtrace.export.file import OtlpFile
from mmtrace.otlp.decode import decode_traces, decode_traces_json
from mmtrace.transport import ACCEPTED, Signal

TRACE_ID, SPAN_ID = bytes(range(16)), bytes(range(1, 9))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "spans.jsonl"


@pytest.fixture
def file(opened, path):
    return opened(OtlpFile(str(path)))


def traces():
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.parent_span_id = TRACE_ID, SPAN_ID, SPAN_ID[::-1]
    span.name, span.kind = "lire une page é", 2
    span.start_time_unix_nano, span.end_time_unix_nano = 10**18, 10**18 + 5
    span.attributes.add(key="ratio").value.double_value = float("nan")
    span.attributes.add(key="traceId").value.bytes_value = b"\x00\xff"
    span.links.add(trace_id=TRACE_ID, span_id=SPAN_ID)
    return request.SerializeToString()


def test_spans_come_back_as_they_were(file, path):
    assert file.export(Signal.TRACES, traces(), 1, 5) == ACCEPTED
    (line,) = path.read_bytes().splitlines()
    read, written = decode_traces_json(line)[0], decode_traces(traces())[0]
    assert (read.trace_id, read.span_id, read.parent_span_id) == (
        written.trace_id,
        written.span_id,
        written.parent_span_id,
    )
    assert (read.name, read.kind, read.links) == (written.name, written.kind, written.links)
    assert read.attributes["traceId"] == b"\x00\xff"


def test_ids_are_hexadecimal_and_enums_are_numbers(file, path):
    file.export(Signal.TRACES, traces(), 1, 5)
    span = json.loads(path.read_text())["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert span["traceId"] == TRACE_ID.hex()
    assert span["kind"] == 2
    assert span["startTimeUnixNano"] == str(10**18)


def test_each_request_is_one_line_at_the_end_of_the_file(file, path):
    path.write_text("{}\n")
    for _ in range(3):
        file.export(Signal.TRACES, traces(), 1, 5)
    assert len(path.read_bytes().splitlines()) == 4


def test_metrics_and_logs_are_written_too(file, path):
    metrics = ExportMetricsServiceRequest()
    metric = metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    metric.gauge.data_points.add(as_int=3).exemplars.add(trace_id=TRACE_ID, span_id=SPAN_ID)
    logs = ExportLogsServiceRequest()
    logs.resource_logs.add().scope_logs.add().log_records.add(trace_id=TRACE_ID).body.string_value = "hello"
    file.export(Signal.METRICS, metrics.SerializeToString(), 1, 5)
    file.export(Signal.LOGS, logs.SerializeToString(), 1, 5)
    first, second = map(json.loads, path.read_text().splitlines())
    point = first["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["gauge"]["dataPoints"][0]
    assert point["exemplars"][0]["traceId"] == TRACE_ID.hex()
    assert second["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["traceId"] == TRACE_ID.hex()


def test_only_the_owner_may_read_it(file, path):
    file.export(Signal.TRACES, traces(), 1, 5)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_folder_that_is_not_there_is_tried_again_and_explained(opened, tmp_path):
    outcome = opened(OtlpFile(str(tmp_path / "no" / "spans.jsonl"))).export(Signal.TRACES, traces(), 1, 5)
    assert outcome.kind == "retry"
    assert "No such file" in outcome.message


def test_damaged_bytes_are_rejected(file):
    assert file.export(Signal.TRACES, b"\xff\xff", 1, 5).kind == "rejected"


def test_parent_and_child_write_whole_lines(file, path):
    file.export(Signal.TRACES, traces(), 1, 5)
    pid = os.fork()
    for _ in range(50):
        file.export(Signal.TRACES, traces(), 1, 5)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    lines = path.read_bytes().splitlines()
    assert len(lines) == 101
    assert all(decode_traces_json(line) for line in lines)
