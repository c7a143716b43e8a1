"""The store of `mmtrace serve`: the one seam between what arrives and what is shown."""

from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from opentelemetry.trace import SpanKind

from mmtrace.server.storage.values import (
    IncomingLink,
    LinkEnd,
    LogRecord,
    StoredMetric,
    StoreStats,
    TraceQuery,
    TraceSummary,
)
from mmtrace.spans import SpanData, Trace

DEFAULT_MAX_BYTES: Final = 1 << 30
"""How large the file may grow unless told otherwise: 1 GiB, some two million spans."""


class Store:
    """Traces, metrics and logs in one SQLite file.

    Every method may be called from any thread and may wait for the disk, so that an event loop calls it in a worker thread;
    only `subscribe` is for event loops. A reader sees everything that was accepted before it asked.
    """

    def __init__(self, file: Path | None = None, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        """Open `file`, or a temporary one that is removed by `close()`."""
        raise NotImplementedError

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what waits, end every subscription and close the file; idempotent."""
        raise NotImplementedError

    def search(self, query: TraceQuery) -> list[TraceSummary]:
        """Find traces, newest first."""
        raise NotImplementedError

    def trace(self, trace_id: int) -> Trace | None:
        """Return all spans of one trace, None where there is none."""
        raise NotImplementedError

    def services(self) -> list[str]:
        """Return the names of all services, sorted."""
        raise NotImplementedError

    def operations(self, service: str) -> list[tuple[str, SpanKind]]:
        """Return the names and kinds of the spans of `service`, sorted."""
        raise NotImplementedError

    def models(self) -> list[str]:
        """Return the names of all models that were called, sorted."""
        raise NotImplementedError

    def spans(self, start_ns: int, end_ns: int, *, models_only: bool = False, limit: int) -> Iterator[SpanData]:
        """Yield spans that started in this time, newest first; `models_only` leaves out what is no model call."""
        raise NotImplementedError

    def traces(self, start_ns: int, end_ns: int, limit: int) -> Iterator[Trace]:
        """Yield traces that started in this time, newest first."""
        raise NotImplementedError

    def linked_from(self, trace_id: int) -> list[IncomingLink]:
        """Return the links of other traces that point at this one."""
        raise NotImplementedError

    def link_ends(self, ends: Iterable[tuple[int, int]]) -> dict[tuple[int, int], LinkEnd]:
        """Return what is known of spans, by (trace id, span id): the other ends of a trace's own links."""
        raise NotImplementedError

    def logs(self, trace_id: int) -> list[LogRecord]:
        """Return the log records of one trace by time."""
        raise NotImplementedError

    def metrics(self, start_ns: int, end_ns: int, *, name: str | None = None, limit: int) -> Iterator[StoredMetric]:
        """Yield metrics that arrived in this time, newest first."""
        raise NotImplementedError

    def subscribe(self, *, pause: float = 0.25) -> AsyncIterator[frozenset[int]]:
        """Yield the ids of traces that got new spans, gathered over `pause` seconds; ends when the store closes."""
        raise NotImplementedError

    def stats(self) -> StoreStats:
        """Count what is here and what was dropped."""
        raise NotImplementedError


__all__ = [
    "DEFAULT_MAX_BYTES",
    "IncomingLink",
    "LinkEnd",
    "LogRecord",
    "Store",
    "StoreStats",
    "StoredMetric",
    "TraceQuery",
    "TraceSummary",
]
