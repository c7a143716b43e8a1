import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource as SdkResource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from mmtrace.metrics import ModelMetrics
from mmtrace.metrics.encode import count, encode, requests, split
from mmtrace.metrics.snapshot import Snapshots
from mmtrace.recording import guard
from mmtrace.spans import Resource


def counter(name, values):
    points = [NumberDataPoint({"n": number}, 1, 2, value) for number, value in enumerate(values)]
    return Metric(name, "", "", Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True))


def data_of(*scopes):
    return MetricsData(
        [
            ResourceMetrics(
                SdkResource({"service.name": "a"}),
                [ScopeMetrics(InstrumentationScope(f"s{n}"), metrics, "") for n, metrics in enumerate(scopes)],
                "",
            )
        ]
    )


def values(bodies):
    found = []
    for body in bodies:
        request = ExportMetricsServiceRequest.FromString(body)
        for part in request.resource_metrics:
            assert part.resource.attributes[0].value.string_value == "a"
            for scope in part.scope_metrics:
                for metric in scope.metrics:
                    found += [(scope.scope.name, metric.name, point.as_int) for point in metric.sum.data_points]
    return found


def test_a_snapshot_becomes_an_otlp_request_with_all_its_points():
    metrics = ModelMetrics()
    series = metrics.series("reranker")
    series.begin()
    series.end("ok", "", 0.5, trace_id=1, span_id=2, input_tokens=7, queue=0.25)
    body, points = encode(Snapshots(metrics, resource=lambda: Resource({"service.name": "a"})).collect())
    assert points == 4
    (part,) = ExportMetricsServiceRequest.FromString(body).resource_metrics
    (scope,) = part.scope_metrics
    duration = scope.metrics[0].histogram.data_points[0]
    assert (duration.count, duration.sum) == (1, 0.5)
    assert not duration.HasField("min")
    assert not duration.HasField("max")
    assert duration.exemplars[0].trace_id == (1).to_bytes(16, "big")
    assert duration.exemplars[0].span_id == (2).to_bytes(8, "big")
    assert duration.exemplars[0].as_double == 0.5


def test_a_metric_that_cannot_be_encoded_takes_no_other_with_it():
    data = data_of([counter("good", [1]), counter("too big", [1 << 70])], [counter("fine", [2])])
    body, points = encode(data)
    assert values([body]) == [("s0", "good", 1), ("s1", "fine", 2)]
    assert points == 2
    assert guard.faults["metrics.encode"] == 1


@pytest.mark.parametrize("most", [1, 2, 3, 7, 8, 100])
def test_a_large_snapshot_is_sent_in_several_requests_without_losing_a_point(most):
    data = data_of([counter("a", range(5)), counter("b", range(3))], [counter("c", range(4)), counter("d", range(1))])
    sent = list(requests(data, most))
    assert all(0 < points <= most for _, points in sent)
    assert len(sent) == -(-count(data) // most)
    assert values(body for body, _ in sent) == values([encode(data)[0]])


def test_nothing_to_send_is_no_request():
    assert list(requests(data_of([counter("a", [])]))) == []
    assert list(split(MetricsData([]), 10)) == []
