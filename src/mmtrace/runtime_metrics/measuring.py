"""All of it as one source of metrics for snapshots."""

import time
from collections.abc import Callable, Iterator
from typing import Final

from opentelemetry.sdk.metrics.export import Metric

from mmtrace.metrics.points import of_numbers, of_readings
from mmtrace.recording.forks import at_fork
from mmtrace.runtime_metrics.garbage import Garbage
from mmtrace.runtime_metrics.gpu import Gpus
from mmtrace.runtime_metrics.loops import loops
from mmtrace.runtime_metrics.process import of_process


class RuntimeMetrics:
    """What is measured of this process from the first `start` on; a forked child starts at zero."""

    def __init__(self) -> None:
        self._garbage = Garbage()
        self._gpus = Gpus()
        self._since = time.time_ns()
        self._hold = object()
        at_fork(self, in_child=RuntimeMetrics.start_over)

    def start(self) -> Callable[[], None]:
        """Measure from now on; return what ends that, unless it was started once more meanwhile."""
        hold = self._hold = object()
        self._garbage.start()
        loops.start()
        return lambda: self._stop() if self._hold is hold else None

    def _stop(self) -> None:
        self._garbage.stop()
        loops.stop()

    def start_over(self) -> None:
        """Count from zero: the state of a new process."""
        self._since = time.time_ns()
        for part in (self._garbage, loops, self._gpus):
            part.start_over()

    def collect(self) -> Iterator[Metric]:
        """Yield everything as totals."""
        now = time.time_ns()
        lag = loops.reading()
        yield from of_readings([*self._garbage.readings(), *([lag] if lag else [])], self._since, now)
        for metric, counts in self._garbage.counts():
            yield of_numbers(metric, counts, self._since, now)
        for metric, values in (*of_process(), *self._gpus.read()):
            yield of_numbers(metric, values, self._since, now)


runtime_metrics: Final = RuntimeMetrics()
"""Those of this process; they exist before `configure()`, as those of model calls do, and wait for `start`."""
