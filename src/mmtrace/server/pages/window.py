"""The traces that figures are made of: those of a range of time, as far as there are any."""

import time
from dataclasses import dataclass
from typing import Final

from mmtrace.server.pages.filters import RANGES
from mmtrace.server.store import Store, TraceQuery
from mmtrace.spans import Trace

MOST: Final = 2000
"""How many traces, the newest ones, are looked at."""
_AHEAD: Final = 60 * 10**9
"""Clocks of other hosts may be so far ahead (nanoseconds)."""


@dataclass(frozen=True, slots=True)
class Window:
    """Traces between two moments, in nanoseconds since the epoch; `cut` is whether older ones are left out.

    `since` is where the range begins, `start` where there begins to be something in it.
    """

    range: str
    traces: tuple[Trace, ...]
    since: int
    start: int
    end: int
    cut: bool

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.end - self.start) / 1e9


def window_of(store: Store, wanted: str) -> Window:
    """Return the window of a range such as `1h`, or of everything.

    It starts where the range does only if something is older, so that rates are right soon after the first trace.
    """
    chosen = wanted if wanted in RANGES else ""
    seconds = RANGES[chosen][1]
    now = time.time_ns()
    since = now - seconds * 10**9 if seconds else 0
    traces = tuple(store.traces(since, now + _AHEAD, MOST))
    cut = len(traces) >= MOST
    first = min((trace.start_time for trace in traces), default=since or now - _AHEAD)
    last = max((trace.end_time for trace in traces), default=now)
    older = not cut and bool(seconds and store.search(TraceQuery(end_ns=since, limit=1)))
    end = now if seconds else max(last, first + 1)
    return Window(chosen, traces, first if cut else since, since if older else first, end, cut)
