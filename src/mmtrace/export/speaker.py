"""One process of a service says for all of them what they measured: it is scraped, and it pushes.

The others write their snapshots into the folder that all share, and wait for its end: one of them speaks next.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from opentelemetry.sdk.metrics.export import MetricsData, NumberDataPoint

from mmtrace.errors import ConfigurationError
from mmtrace.metrics.encode import requests
from mmtrace.metrics.shared.folder import Folder
from mmtrace.recording.forks import at_fork
from mmtrace.recording.guard import never_raises, report, say
from mmtrace.transport import FlushResult, Pipeline, Signal
from mmtrace.transport.worker import Worker

INTERVAL: Final = 1.0
"""Seconds between two looks at the others, and between two snapshots where there are others."""

_SHARE: Final = 100
"""A snapshot may take one part in so many of a process's time."""
_ROUNDS: Final = 3
_PATIENCE: Final = 1.0


class Source(Protocol):
    """What takes the snapshots of this process; its counters and histograms are totals."""

    has_totals: bool

    def collect(self) -> MetricsData:
        """Return every metric there is."""
        ...


class Server(Protocol):
    """What is scraped."""

    def close(self) -> None:
        """Stop answering and free the port."""
        ...


class Speaker:
    """The metrics of all processes of the service on this host, and this process's part in telling them.

    Where the folder cannot be used, which is said once, this process speaks for itself.

    Args:
        own: what this process measures.
        folder: what it shares with the others.
        instance: the `service.instance.id` of the sums, where the user named one.
        listen: starts a server for a source, and raises ConfigurationError where the port is taken; None for no server.
    """

    def __init__(
        self,
        own: Source,
        folder: Folder,
        *,
        instance: str = "",
        listen: Callable[["Speaker"], Server] | None = None,
    ) -> None:
        self._own = own
        self._folder = folder
        self._instance = instance
        self._listen = listen
        self._ends = False
        self._closed = False
        self._stands_back = False
        self.start_over()
        at_fork(self, in_child=Speaker.start_over)

    def start_over(self) -> None:
        """Be one of the others in a forked child, where neither thread nor server exists."""
        self._lock = threading.RLock()
        self._worker = Worker(self._turn, "mmtrace-metrics")
        self._server: Server | None = None
        self._last: MetricsData | None = None

    # --- what is measured ---------------------------------------------------------------------------------------------

    def collect(self) -> MetricsData:
        """Return the sums over all processes, dead ones included; the others are a second behind."""
        with self._lock:
            return self._total(self._publish())

    def publish(self) -> None:
        """Let the others see what this process has measured, if it has measured anything."""
        with self._lock:
            self._publish()

    def push(self, pipeline: Pipeline) -> None:
        """Send the sums, if this process speaks for all; else let the one that does see what this one measured."""
        if self._closed:
            return
        with self._lock:
            own = self._publish()
            data = self._total(own) if not _is_blank(own) and self._speaks() else MetricsData([])
        self.start()
        for body, count in requests(data):
            pipeline.add(Signal.METRICS, None, body, count)

    def _total(self, own: MetricsData) -> MetricsData:
        """Return the sums, of which `own` is this process's part; where they cannot be had, the last ones, or `own`."""
        if not own.resource_metrics:
            return self._last or own
        try:
            self._last = self._folder.total(own, self._instance)
        except TimeoutError as error:
            self._complain(error)
            return self._last or own
        except OSError as error:
            self._complain(error)
            return own
        return self._last

    def _publish(self) -> MetricsData:
        own = self._own.collect()
        with self._complaining():
            if own.resource_metrics and (self._folder.has_joined or not _is_blank(own)):
                self._folder.publish(own)
        return own

    @contextmanager
    def _complaining(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._complain(error)

    def _complain(self, error: OSError) -> None:
        report(
            "metrics.shared",
            f"mmtrace: metrics are not shared with the other processes of this service: {error}; let "
            "MMTRACE_METRICS_DIR name a folder that they can all use, or set MMTRACE_METRICS_SHARED=false",
        )

    # --- who speaks ---------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Answer scrapes from now on, or as soon as the process that does so has ended.

        Raises:
            ConfigurationError: the port is taken, but not by a process of this service.
        """
        with self._lock:
            self._stands_back, self._own.has_totals = False, True
            if self._speaks():
                try:
                    self._answer()
                except ConfigurationError:
                    self._ends = self._closed = True
                    with self._complaining():
                        self._folder.leave()
                    raise
        self.start()

    def step_back(self) -> None:
        """Neither answer nor push until `open`: another configuration of this process tells of its calls."""
        with self._lock:
            self._stands_back, self._own.has_totals = True, False
            self._publish()
        self._resign()

    def start(self) -> None:
        """Look at the others from time to time, in a thread."""
        if not self._worker.has_started and not self._ends:
            self._worker.wake()

    def _speaks(self) -> bool:
        try:
            return not self._stands_back and self._folder.claim()
        except OSError as error:
            self._complain(error)
            return True

    def _answer(self) -> None:
        if self._server is None and self._listen is not None:
            self._server = self._listen(self)

    def _turn(self) -> float | None:
        if self._closed:
            return None
        began = time.thread_time()
        never_raises(self._look)()
        say()
        return None if self._closed else max(INTERVAL, _SHARE * (time.thread_time() - began))

    def _look(self) -> None:
        with self._lock, self._complaining():
            if self._closed:
                return
            if self._speaks():
                try:
                    self._answer()
                except ConfigurationError as error:
                    report("metrics.shared.port", f"mmtrace: {error}")
                if self._folder.is_crowded():
                    self.collect()
                    return
            if self._folder.has_company():
                self._publish()

    # --- the end ------------------------------------------------------------------------------------------------------

    def hand_over(self, flush: Callable[[], FlushResult]) -> FlushResult:
        """Deliver and let another process speak; what others publish meanwhile is delivered, too."""
        self._ends, result = True, FlushResult()
        for _ in range(_ROUNDS):
            result = result.then(flush())
            self._resign()
            if not self._is_missed():
                break
        self._closed = True
        return result

    def _is_missed(self) -> bool:
        """Whether this process has to speak again: another one found that it does, and has ended meanwhile."""
        try:
            with self._lock:
                return self._folder.has_joined and self._folder.has_news() and self._speaks()
        except OSError as error:
            self._complain(error)
            return False

    def _resign(self) -> None:
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            server.close()
        with self._lock:
            self._folder.resign()

    def close(self) -> None:
        """Leave a last snapshot, and the folder."""
        self._ends = self._closed = True
        if self._worker.has_started:
            self._worker.wake()
            self._worker.join(_PATIENCE)
        self._resign()
        with self._lock, self._complaining():
            self._publish()
            self._folder.leave()


def _is_blank(data: MetricsData) -> bool:
    """Whether nothing was counted: a child that does nothing leaves no trace."""
    points = (
        point
        for part in data.resource_metrics
        for scope in part.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
        if hasattr(metric.data, "aggregation_temporality")
    )
    return not any(point.value if isinstance(point, NumberDataPoint) else point.count for point in points)
