"""The stored metrics of models as points of series."""

from collections.abc import Iterator, Sequence
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
)

from mmtrace.analysis.measured import READ
from mmtrace.analysis.series import Point, growth
from mmtrace.otlp.decode import value_of
from mmtrace.server.store import Store, StoredMetric

_BEFORE: Final = 5 * 60 * 10**9
"""So much older a point may be to tell what a series had counted when the time began (nanoseconds)."""
_MOST: Final = 20_000


def model_growth(store: Store, start_ns: int, end_ns: int) -> dict[str, Iterator[Point]]:
    """Return by how much the metrics of models grew between two moments, by name."""
    found = {}
    for metric in READ:
        stored = store.metrics(max(0, start_ns - _BEFORE), end_ns, name=metric.name, limit=_MOST)
        found[metric.name] = growth((point for one in stored for point in _points(one)), start_ns, end_ns)
    return found


def _points(stored: StoredMetric) -> Iterator[Point]:
    metric = Metric.FromString(stored.data)
    kind = metric.WhichOneof("data")
    if kind == "histogram":
        cumulative = _is_cumulative(metric.histogram.aggregation_temporality)
        yield from (_of_histogram(stored.service, point, cumulative) for point in metric.histogram.data_points)
    elif kind == "sum":
        cumulative = _is_cumulative(metric.sum.aggregation_temporality)
        yield from (_of_counter(stored.service, point, cumulative) for point in metric.sum.data_points)


def _is_cumulative(temporality: int) -> bool:
    return temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE


def _of_histogram(service: str, point: HistogramDataPoint, cumulative: bool) -> Point:  # noqa: FBT001
    bounds = [*point.explicit_bounds, float("inf")]
    return Point(
        service=service,
        labels=_labels(point.attributes),
        started=point.start_time_unix_nano,
        time=point.time_unix_nano,
        count=point.count,
        total=point.sum,
        buckets=dict(zip(bounds, point.bucket_counts, strict=False)),
        cumulative=cumulative,
    )


def _of_counter(service: str, point: NumberDataPoint, cumulative: bool) -> Point:  # noqa: FBT001
    value = point.as_double if point.WhichOneof("value") == "as_double" else point.as_int
    labels = _labels(point.attributes)
    return Point(service, labels, point.start_time_unix_nano, point.time_unix_nano, 0, value, cumulative=cumulative)


def _labels(attributes: Sequence[KeyValue]) -> dict[str, str]:
    return {pair.key: str(value_of(pair.value)) for pair in attributes}
