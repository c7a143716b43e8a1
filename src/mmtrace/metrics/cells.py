"""What one thread counts of one time series, and the exemplars that all threads share.

A cell is written by one thread only. Its updates need no lock, and none is taken: a finalizer may end a call inside any
allocation, also inside an update of the same thread. Such an update loses nothing because each `x += y` here loads,
adds and stores without a call and without an allocation that the garbage collector counts, and CPython looks at
signals, finalizers and other threads only at calls, at jumps and at allocations of containers.
"""

import math
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from mmtrace.attributes import Metric

EXEMPLAR_SECONDS: Final = 15.0
"""For how long the first exemplar of a bucket keeps its place."""

_NEVER: Final = float("-inf")


class Exemplar(NamedTuple):
    """One sampled call that stands for its bucket; `time` in nanoseconds since the epoch."""

    value: float
    time: int
    trace_id: int
    span_id: int


class Exemplars:
    """The first sampled measurement per bucket and 15 seconds, offered by any thread.

    Whoever takes the key of the last exemplar out of the dictionary is the first: that is one atomic operation, so that
    of several threads, or of an update and a finalizer inside it, exactly one succeeds, and no lock is needed.
    """

    __slots__ = ("_slots", "clock", "until")

    def __init__(self, buckets: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.until = [_NEVER] * buckets
        self._slots: dict[tuple[int, float], Exemplar | None] = {(bucket, _NEVER): None for bucket in range(buckets)}

    def offer(self, bucket: int, value: float, trace_id: int, span_id: int) -> bool:
        """Return whether this measurement became the exemplar of its bucket."""
        now = self.clock()
        until = self.until[bucket]
        if now < until or self._slots.pop((bucket, until), self) is self:
            return False
        until = now + EXEMPLAR_SECONDS
        self._slots[bucket, until] = Exemplar(float(value), time.time_ns(), trace_id, span_id)
        self.until[bucket] = until
        return True

    def latest(self) -> list[Exemplar]:
        """Return the last exemplar of each bucket that has one, in the order of the buckets."""
        kept = [(bucket, exemplar) for (bucket, _), exemplar in self._slots.copy().items() if exemplar is not None]
        return [exemplar for _, exemplar in sorted(kept)]


class Line:
    """One time series: its metric, its attributes, its bounds and its exemplars (none where it is no histogram)."""

    __slots__ = ("attributes", "bounds", "exemplars", "metric")

    def __init__(
        self,
        metric: Metric,
        attributes: Mapping[str, str | bool],
        bounds: tuple[float, ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.metric = metric
        self.attributes = attributes
        self.bounds = bounds
        self.exemplars = Exemplars(len(bounds) + 1 if bounds else 0, clock)


class Number:
    """One thread's part of a sum."""

    __slots__ = ("line", "value")

    def __init__(self, line: Line) -> None:
        self.line = line
        self.value: int = 0


class Distribution:
    """One thread's part of a histogram; a bucket takes the values up to and including its bound."""

    __slots__ = ("_bounds", "_exemplars", "_floors", "_last", "counts", "line", "sum")

    def __init__(self, line: Line) -> None:
        self.line = line
        self.counts = [0] * (len(line.bounds) + 1)
        self.sum = 0.0
        self._bounds = (*line.bounds, math.inf)
        self._floors = (-math.inf, *line.bounds)
        self._last = 0
        self._exemplars = line.exemplars

    def add(self, value: float, trace_id: int = 0, span_id: int = 0) -> bool:
        """Count `value`; return whether the sampled call of these ids, if any, became an exemplar."""
        bucket = self._last  # most calls of a model fall where the one before did
        if not self._floors[bucket] < value <= self._bounds[bucket]:
            bucket = self._last = bisect_left(self._bounds, value)
        self.counts[bucket] += 1
        self.sum += value
        exemplars = self._exemplars
        if trace_id == 0 or exemplars.clock() < exemplars.until[bucket]:
            return False
        return exemplars.offer(bucket, value, trace_id, span_id)
