"""Half-open intervals of time as pairs (start, end): joined, cut and measured; times in nanoseconds."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

Interval: TypeAlias = tuple[int, int]


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the same time as disjoint intervals in order; empty ones are left out."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if end <= start:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def length(intervals: Iterable[Interval]) -> int:
    """Return how long disjoint `intervals` are in all."""
    return sum(end - start for start, end in intervals)


def clip(intervals: Iterable[Interval], bounds: Interval) -> Iterator[Interval]:
    """Yield what lies inside `bounds`."""
    low, high = bounds
    for start, end in intervals:
        if start < high and end > low:
            yield max(start, low), min(end, high)


def subtract(bounds: Interval, merged: Sequence[Interval]) -> Iterator[Interval]:
    """Yield what is left of `bounds` where `merged`, disjoint and in order, is taken out."""
    start, end = bounds
    for taken_start, taken_end in clip(merged, bounds):
        if taken_start > start:
            yield start, taken_start
        start = taken_end
    if start < end:
        yield start, end
