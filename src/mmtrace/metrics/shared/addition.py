"""The sum of two points of one time series, measured by two processes."""

import itertools
import operator
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    Buckets,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    NumberDataPoint,
)

Point: TypeAlias = NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint
"""What one time series says at one moment."""

_MOST_BUCKETS: Final = 160
_FEW_EXEMPLARS: Final = 4


def zero(point: Point) -> Point:
    """Return `point` as it was before anything was measured."""
    if isinstance(point, NumberDataPoint):
        return replace(point, value=0, exemplars=[])
    nothing: dict[str, Any] = {"count": 0, "sum": 0, "min": None, "max": None, "exemplars": []}
    if isinstance(point, HistogramDataPoint):
        return replace(point, bucket_counts=(0,) * len(point.bucket_counts), **nothing)
    return replace(point, zero_count=0, positive=Buckets(0, ()), negative=Buckets(0, ()), **nothing)


def is_zero(point: Point) -> bool:
    """Whether nothing was measured."""
    return not (point.value if isinstance(point, NumberDataPoint) else point.count)


def add(one: Point, other: Point) -> Point:
    """Return the sum, with the attributes and the start of `one` and the later time; exemplars are the newest."""
    time = max(one.time_unix_nano, other.time_unix_nano)
    if isinstance(one, NumberDataPoint) and isinstance(other, NumberDataPoint):
        exemplars = _newest([*one.exemplars, *other.exemplars])[:_FEW_EXEMPLARS]
        return replace(one, value=one.value + other.value, time_unix_nano=time, exemplars=exemplars)
    assert not isinstance(one, NumberDataPoint)
    assert not isinstance(other, NumberDataPoint)
    counted: dict[str, Any] = {
        "time_unix_nano": time,
        "count": one.count + other.count,
        "sum": one.sum + other.sum,
        "min": min((value for value in (one.min, other.min) if value is not None), default=None),
        "max": max((value for value in (one.max, other.max) if value is not None), default=None),
    }
    if isinstance(one, HistogramDataPoint) and isinstance(other, HistogramDataPoint):
        return replace(one, **counted, **_histograms(one, other))
    assert isinstance(one, ExponentialHistogramDataPoint)
    assert isinstance(other, ExponentialHistogramDataPoint)
    return replace(one, **counted, **_exponentials(one, other))


def _newest(exemplars: Iterable[Exemplar]) -> list[Exemplar]:
    return sorted(exemplars, key=lambda exemplar: -exemplar.time_unix_nano)


# --- histograms with bounds -------------------------------------------------------------------------------------------


def _histograms(one: HistogramDataPoint, other: HistogramDataPoint) -> dict[str, Any]:
    counts = _counts_within(one.explicit_bounds, other)
    by_bucket: dict[int, Exemplar] = {}
    for exemplar in _newest([*one.exemplars, *other.exemplars]):
        by_bucket.setdefault(bisect_left(one.explicit_bounds, exemplar.value), exemplar)
    return {
        "bucket_counts": tuple(map(operator.add, one.bucket_counts, counts)),
        "exemplars": [by_bucket[bucket] for bucket in sorted(by_bucket)],
    }


def _counts_within(bounds: Sequence[float], point: HistogramDataPoint) -> Sequence[int]:
    """Return the counts of `point` in the buckets of `bounds`: other buckets, of another release, go up as a whole."""
    if tuple(bounds) == tuple(point.explicit_bounds):
        return point.bucket_counts
    counts = [0] * (len(bounds) + 1)
    for bound, count in zip((*point.explicit_bounds, float("inf")), point.bucket_counts, strict=True):
        counts[bisect_left(bounds, bound)] += count
    return counts


# --- exponential histograms -------------------------------------------------------------------------------------------


def _exponentials(one: ExponentialHistogramDataPoint, other: ExponentialHistogramDataPoint) -> dict[str, Any]:
    """Add at the finest scale that both have and that needs no more buckets than the SDK's largest histogram.

    Buckets of a smaller scale are whole numbers of those of a greater one, so that nothing is estimated.
    Source: https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram
    """
    scale = min((point.scale for point in (one, other) if _has_buckets(point)), default=one.scale)
    positive, negative = (
        _summed([(getattr(point, side), point.scale - scale) for point in (one, other)])
        for side in ("positive", "negative")
    )
    too_fine = max(_excess(positive), _excess(negative))
    return {
        "scale": scale - too_fine,
        "zero_count": one.zero_count + other.zero_count,
        "positive": _buckets(positive, too_fine),
        "negative": _buckets(negative, too_fine),
        "exemplars": _newest([*one.exemplars, *other.exemplars])[: max(len(one.exemplars), len(other.exemplars))],
    }


def _has_buckets(point: ExponentialHistogramDataPoint) -> bool:
    return any(point.positive.bucket_counts) or any(point.negative.bucket_counts)


def _summed(parts: Iterable[tuple[Buckets, int]]) -> dict[int, int]:
    """Return count by index, of buckets that each are to be so much coarser; empty ones are left out."""
    counts: dict[int, int] = {}
    for buckets, coarser in parts:
        for index, number in enumerate(buckets.bucket_counts, buckets.offset):
            if number:
                counts[index >> coarser] = counts.get(index >> coarser, 0) + number
    return counts


def _excess(counts: Mapping[int, int]) -> int:
    """Return by how much the scale has to fall until the buckets from the first to the last are few enough."""
    first, last = min(counts, default=0), max(counts, default=0)
    return next(by for by in itertools.count() if (last >> by) - (first >> by) < _MOST_BUCKETS)


def _buckets(counts: Mapping[int, int], coarser: int) -> Buckets:
    by_index: dict[int, int] = {}
    for index, number in counts.items():
        by_index[index >> coarser] = by_index.get(index >> coarser, 0) + number
    if not by_index:
        return Buckets(0, ())
    first, last = min(by_index), max(by_index)
    return Buckets(first, tuple(by_index.get(index, 0) for index in range(first, last + 1)))
