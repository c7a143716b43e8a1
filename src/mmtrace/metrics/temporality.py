"""From totals since the start to what was added since the last time, for receivers that prefer it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, Literal, TypeAlias

from opentelemetry.sdk.metrics import Counter, Histogram, ObservableCounter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)
from opentelemetry.sdk.metrics.export import Histogram as HistogramData
from opentelemetry.util.types import Attributes

Preference: TypeAlias = Literal["cumulative", "delta", "lowmemory"]
"""A value of OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE; `lowmemory` leaves what is observed cumulative."""

_DELTAS: Final[dict[Preference, tuple[type, ...]]] = {
    "cumulative": (),
    "delta": (Counter, Histogram, ObservableCounter),
    "lowmemory": (Counter, Histogram),
}

_Point: TypeAlias = NumberDataPoint | HistogramDataPoint


def temporalities(preference: Preference) -> dict[type, AggregationTemporality]:
    """Return what a stock metric reader takes as `preferred_temporality`."""
    return dict.fromkeys(_DELTAS[preference], AggregationTemporality.DELTA)


class Deltas:
    """Subtracts the points of the time before from those of now; points that gained nothing are left out.

    A total that began anew, in a forked child for example, counts from zero.
    """

    def __init__(self) -> None:
        self._before: dict[tuple[str, object], _Point] = {}

    def of(self, metrics: Iterable[Metric]) -> list[Metric]:
        """Return `metrics` with every counter and histogram as its growth since the last call."""
        return [changed for metric in metrics if (changed := self._metric(metric)).data.data_points]

    def _metric(self, metric: Metric) -> Metric:
        data = metric.data
        if isinstance(data, HistogramData) or (isinstance(data, Sum) and data.is_monotonic):
            grown = (self._growth(metric.name, point) for point in data.data_points)
            points: Any = [point for point in grown if point is not None]
            changed = replace(data, data_points=points, aggregation_temporality=AggregationTemporality.DELTA)
            return replace(metric, data=changed)
        return metric

    def _growth(self, name: str, point: _Point) -> _Point | None:
        key = (name, identity(point.attributes))
        before = self._before.get(key)
        self._before[key] = point
        if before is None or before.start_time_unix_nano != point.start_time_unix_nano:
            return point if _size(point) else None
        return _subtract(point, before) if _size(point) != _size(before) else None


def identity(attributes: Attributes) -> object:
    """Return what tells the points of one metric apart."""
    return frozenset((attributes or {}).items())


def _size(point: _Point) -> float:
    return point.value if isinstance(point, NumberDataPoint) else point.count


def _subtract(point: _Point, before: _Point) -> _Point:
    since = before.time_unix_nano
    exemplars = [exemplar for exemplar in point.exemplars if exemplar.time_unix_nano > since]
    if isinstance(point, HistogramDataPoint) and isinstance(before, HistogramDataPoint):
        return replace(
            point,
            start_time_unix_nano=since,
            count=point.count - before.count,
            sum=point.sum - before.sum,
            bucket_counts=_differences(point.bucket_counts, before.bucket_counts),
            exemplars=exemplars,
        )
    assert isinstance(point, NumberDataPoint)
    assert isinstance(before, NumberDataPoint)
    return replace(point, start_time_unix_nano=since, value=point.value - before.value, exemplars=exemplars)


def _differences(now: Sequence[int], before: Sequence[int]) -> list[int]:
    return [count - earlier for count, earlier in zip(now, before, strict=True)]
