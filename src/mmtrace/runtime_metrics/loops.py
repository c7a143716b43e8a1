"""Event loops of asyncio: how late they run what is due.

A timer of the loop itself measures it ten times a second. A timer keeps no loop from ending, and a loop that is closed
drops it without a word.
"""

import sys
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import Context
from typing import TYPE_CHECKING, Final

from mmtrace import attributes as names
from mmtrace.metrics.aggregator import Reading
from mmtrace.recording.guard import never_raises
from mmtrace.runtime_metrics.histogram import Histogram

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

_INTERVAL: Final = 0.1


class Loops:
    """Measures the loops that run between `start` and `stop`."""

    def __init__(self) -> None:
        self._on = False
        self._lag = Histogram(names.EVENT_LOOP_LAG, {})
        self._runs: weakref.WeakKeyDictionary[AbstractEventLoop, object] = weakref.WeakKeyDictionary()

    def start(self) -> None:
        """Measure from now on, at once where a loop runs in this thread."""
        self._on = True
        asyncio = sys.modules.get("asyncio")
        loop = asyncio._get_running_loop() if asyncio is not None else None
        if loop is not None and loop not in self._runs:
            self._begin(loop)

    def stop(self) -> None:
        """Measure no more; timers that wait find that out."""
        self._on = False

    def start_over(self) -> None:
        """Count from zero, in a forked child."""
        self._lag.start_over()

    def reading(self) -> Reading | None:
        """Return what was measured, or None where no loop ran."""
        return self._lag.reading()

    @contextmanager
    def running(self, loop: "AbstractEventLoop") -> Generator[None]:
        """Measure `loop` while the block runs it, in this thread."""
        self._begin(loop)
        try:
            yield
        finally:
            self._runs.pop(loop, None)

    @never_raises
    def _begin(self, loop: "AbstractEventLoop") -> None:
        if self._on:
            run = self._runs[loop] = object()
            self._arm(loop, run)

    def _arm(self, loop: "AbstractEventLoop", run: object) -> None:
        due = loop.time() + _INTERVAL
        loop.call_at(due, self._measure, loop, run, due, context=Context())

    @never_raises
    def _measure(self, loop: "AbstractEventLoop", run: object, due: float) -> None:
        """Take the lag of a timer, unless the loop has stood still meanwhile because it was another run's."""
        if self._on and self._runs.get(loop) is run:
            self._lag.add(max(0.0, loop.time() - due))
            self._arm(loop, run)


loops: Final = Loops()
"""Those of this process."""
