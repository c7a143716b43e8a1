"""Clocks and ids that a test knows beforehand."""

import itertools
import threading
from typing import Final

_MILLISECOND: Final = 1_000_000
START: Final = 1_800_000_000_000_000_000
"""The moment at which a `SteadyClock` begins, in nanoseconds since the epoch."""


class SteadyClock:
    """Goes on by one millisecond each time that it is read, and by as much as `advance` says."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._elapsed = 0

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        with self._lock:
            self._elapsed += round(seconds * 1e9)

    def monotonic(self) -> int:
        """Return the nanoseconds since the clock began."""
        with self._lock:
            self._elapsed += _MILLISECOND
            return self._elapsed

    def wall(self) -> int:
        """Return the nanoseconds since the epoch; reading it takes no time."""
        with self._lock:
            return START + self._elapsed


class CountingIds:
    """Trace ids 1, 2, 3, ... and span ids 1, 2, 3, ..."""

    def __init__(self) -> None:
        self._traces = itertools.count(1)
        self._spans = itertools.count(1)

    def new_trace_id(self) -> int:
        """Return the next trace id."""
        return next(self._traces)

    def new_span_id(self) -> int:
        """Return the next span id."""
        return next(self._spans)
