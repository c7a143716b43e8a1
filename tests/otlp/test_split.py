"""A request that is too large is divided into two that hold the same, whatever the signal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from mmtrace.otlp.split import halves


def traces(shape):
    """Return a request with so many spans in each scope of each resource."""
    request = ExportTraceServiceRequest()
    for number, scopes in enumerate(shape):
        resource = request.resource_spans.add(schema_url=f"resource {number}")
        resource.resource.attributes.add(key="service.name").value.string_value = f"service {number}"
        for scope_number, spans in enumerate(scopes):
            scope = resource.scope_spans.add(schema_url=f"scope {scope_number}")
            scope.scope.name = f"scope {scope_number}"
            for span in range(spans):
                scope.spans.add(name=f"{number} {scope_number} {span}")
    return request


def content(request):
    """Return the spans, each with its resource and scope."""
    return [
        (resource.schema_url, resource.resource.SerializeToString(), scope.schema_url, scope.scope.name, span.name)
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


@given(st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=4), min_size=1, max_size=4))
def test_both_halves_together_hold_every_span_in_order_with_its_resource_and_scope(shape):
    request = traces(shape)
    divided = halves(request.SerializeToString())
    if sum(map(sum, shape)) == 1:
        assert divided is None
        return
    first, second = (ExportTraceServiceRequest.FromString(body) for _, body in divided)
    assert content(first) + content(second) == content(request)
    assert [count for count, _ in divided] == [len(content(first)), len(content(second))]
    assert all(count > 0 for count, _ in divided)


def test_logs_and_metrics_are_divided_alike():
    logs = ExportLogsServiceRequest()
    records = logs.resource_logs.add().scope_logs.add().log_records
    records.add(severity_text="a")
    records.add(severity_text="b")
    metrics = ExportMetricsServiceRequest()
    listed = metrics.resource_metrics.add().scope_metrics.add().metrics
    listed.add(name="a")
    listed.add(name="b")
    (_, first), (_, second) = halves(logs.SerializeToString())
    assert ExportLogsServiceRequest.FromString(first).resource_logs[0].scope_logs[0].log_records[0].severity_text == "a"
    assert (
        ExportLogsServiceRequest.FromString(second).resource_logs[0].scope_logs[0].log_records[0].severity_text == "b"
    )
    (_, first), (_, second) = halves(metrics.SerializeToString())
    assert ExportMetricsServiceRequest.FromString(first).resource_metrics[0].scope_metrics[0].metrics[0].name == "a"
    assert ExportMetricsServiceRequest.FromString(second).resource_metrics[0].scope_metrics[0].metrics[0].name == "b"


@pytest.mark.parametrize("body", [b"", b"x", b"\x08\x01", b"\x0a\xff", traces([[2]]).SerializeToString()[:-3]])
def test_what_is_no_request_is_not_divided(body):
    assert halves(body) is None
