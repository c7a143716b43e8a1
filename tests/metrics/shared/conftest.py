import pytest
from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

TOTAL = AggregationTemporality.CUMULATIVE


class Measured:
    """Makes snapshots of processes; times are of no interest."""

    @staticmethod
    def counter(name, value, **attributes):
        return Metric(name, "", "", Sum([NumberDataPoint(attributes, 1, 2, value)], TOTAL, True))

    @staticmethod
    def updown(name, value, **attributes):
        return Metric(name, "", "", Sum([NumberDataPoint(attributes, 1, 2, value)], TOTAL, False))

    @staticmethod
    def gauge(name, value, **attributes):
        return Metric(name, "", "", Gauge([NumberDataPoint(attributes, 1, 2, value)]))

    @staticmethod
    def histogram(name, bounds, counts, total=0.0, exemplars=(), **attributes):
        given = [Exemplar({}, value, time, 1, 2) for value, time in exemplars]
        point = HistogramDataPoint(attributes, 1, 2, sum(counts), total, counts, bounds, None, None, given)
        return Metric(name, "", "s", Histogram([point], TOTAL))

    @staticmethod
    def by(pid, *metrics, instance="", **resource):
        attributes = {
            "service.name": "shop",
            "process.pid": pid,
            "service.instance.id": instance or f"i{pid}",
            **resource,
        }
        scope = ScopeMetrics(InstrumentationScope("shop"), list(metrics), "")
        return MetricsData([ResourceMetrics(Resource(attributes), [scope], "")])


@pytest.fixture
def measured():
    return Measured


@pytest.fixture
def said():
    """What a snapshot says: (name, attributes) to a value, or to the counts of a histogram."""

    def read(data):
        found = {}
        for part in data.resource_metrics:
            for metric in (metric for scope in part.scope_metrics for metric in scope.metrics):
                for point in metric.data.data_points:
                    key = (metric.name, *sorted(point.attributes.items()))
                    assert key not in found, f"{key} is there twice"
                    found[key] = point.value if isinstance(point, NumberDataPoint) else tuple(point.bucket_counts)
        return found

    return read
