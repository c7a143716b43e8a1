"""The store of `mmtrace serve`: the one seam between what arrives and what is shown."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final

from opentelemetry.trace import SpanKind
from typing_extensions import Self

from mmtrace.server.storage import answers
from mmtrace.server.storage.arrivals import Arrivals
from mmtrace.server.storage.batch import Batch
from mmtrace.server.storage.database import StoreError, locked, open_writer, remove
from mmtrace.server.storage.reading import Readers, spans_by_number, spans_of_trace
from mmtrace.server.storage.search import Search, moment
from mmtrace.server.storage.values import (
    IncomingLink,
    LinkEnd,
    LogRecord,
    StoredMetric,
    StoreStats,
    TraceQuery,
    TraceSummary,
)
from mmtrace.server.storage.writer import Writer
from mmtrace.spans import SpanData, Trace

DEFAULT_MAX_BYTES: Final = 1 << 30
"""How large the file may grow unless told otherwise: 1 GiB, some two million spans."""
SMALLEST_MAX_BYTES: Final = 1 << 20
"""A smaller bound would not hold the store's own tables and one batch."""
MAX_WAITING: Final = 32 << 20
"""How many bytes of requests may wait to be written; more are refused until there is room."""

MOST_LOGS: Final = 10_000
"""How many log records of one trace are read at most."""


class Store:
    """Traces, metrics and logs in one SQLite file.

    Every method may be called from any thread and may wait for the disk, so that an event loop calls it in a worker
    thread; only `subscribe` is for event loops. A reader sees everything that was accepted before it asked, and gets a
    StoreError where the file cannot be read any more.
    """

    def __init__(self, file: Path | None = None, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        """Open `file`, or a temporary one that `close()` removes.

        Raises StoreError where it cannot be opened, is damaged or is something else, ValueError for too small a bound.
        """
        if max_bytes < SMALLEST_MAX_BYTES:
            raise ValueError(f"the store needs at least {SMALLEST_MAX_BYTES} bytes, got {max_bytes}")
        with ExitStack() as stack:
            path = file or stack.enter_context(_temporary_file())
            stack.enter_context(locked(path))
            connection = open_writer(path, max_bytes=max_bytes, durable=file is not None)
            stack.callback(connection.close)
            self._arrivals = Arrivals()
            self._writer = Writer(connection, max_bytes, self._arrivals, MAX_WAITING)
            self._readers = Readers(path, self._writer)
            self._search = Search(self._readers)
            stack.callback(self._readers.close)
            stack.callback(self._writer.close)
            stack.callback(self._arrivals.close)
            self._open = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what waits, end every subscription and close the file; idempotent."""
        self._open.close()

    def add(self, batch: Batch) -> bool:
        """Take `batch` to be written, or return False where too much waits already: what was taken is not lost."""
        return self._writer.add(batch)

    def search(self, query: TraceQuery) -> list[TraceSummary]:
        """Find traces, newest first."""
        return self._search.find(query)

    def trace(self, trace_id: int) -> Trace | None:
        """Return all spans of one trace, None where there is none."""
        if not 0 < trace_id < 1 << 128:
            return None
        with self._readers.connection() as connection:
            found = connection.execute("SELECT id FROM traces WHERE trace_id = ?", (trace_id.to_bytes(16, "big"),))
            spans = [span for (number,) in found.fetchall() for span in spans_of_trace(connection, number)]
        return Trace.of(spans) if spans else None

    def services(self) -> list[str]:
        """Return the names of all services, sorted."""
        with self._readers.connection() as connection:
            return answers.services(connection)

    def operations(self, service: str) -> list[tuple[str, SpanKind]]:
        """Return the names and kinds of the spans of `service`, sorted."""
        with self._readers.connection() as connection:
            return answers.operations(connection, service)

    def models(self) -> list[str]:
        """Return the names of all models that were called, sorted."""
        with self._readers.connection() as connection:
            return answers.models(connection)

    def spans(self, start_ns: int, end_ns: int, *, models_only: bool = False, limit: int) -> Iterator[SpanData]:
        """Yield spans that started in this time, newest first; `models_only` leaves out what is no model call."""
        chosen = "WHERE model != ''" if models_only else ""
        statement = (
            f"SELECT id FROM spans WHERE operation IN (SELECT id FROM operations {chosen})"  # noqa: S608  # own words
            " AND start BETWEEN ? AND ? ORDER BY start DESC LIMIT ?"
        )
        return spans_by_number(self._readers, self._numbers(statement, start_ns, end_ns, limit))

    def traces(self, start_ns: int, end_ns: int, limit: int) -> Iterator[Trace]:
        """Yield traces that started in this time, newest first."""
        statement = "SELECT id FROM traces WHERE start BETWEEN ? AND ? ORDER BY start DESC, id DESC LIMIT ?"
        for number in self._numbers(statement, start_ns, end_ns, limit):
            with self._readers.connection() as connection:
                spans = spans_of_trace(connection, number)
            if spans:
                yield Trace.of(spans)

    def linked_from(self, trace_id: int) -> list[IncomingLink]:
        """Return the links of other traces that point at this one."""
        with self._readers.connection() as connection:
            return answers.linked_from(connection, trace_id)

    def link_ends(self, ends: Iterable[tuple[int, int]]) -> dict[tuple[int, int], LinkEnd]:
        """Return what is known of spans, by (trace id, span id): the other ends of a trace's own links."""
        with self._readers.connection() as connection:
            return answers.link_ends(connection, ends)

    def logs(self, trace_id: int, *, limit: int = MOST_LOGS) -> list[LogRecord]:
        """Return the first log records of one trace by time."""
        with self._readers.connection() as connection:
            return answers.logs(connection, trace_id, limit)

    def log_count(self, trace_id: int) -> int:
        """Return how many log records one trace has."""
        with self._readers.connection() as connection:
            return answers.log_count(connection, trace_id)

    def metrics(self, start_ns: int, end_ns: int, *, name: str | None = None, limit: int) -> list[StoredMetric]:
        """Return metrics that arrived in this time, newest first."""
        with self._readers.connection() as connection:
            return answers.metrics(connection, (moment(start_ns), moment(end_ns)), name, limit)

    def subscribe(self, *, pause: float = 0.25) -> AsyncIterator[frozenset[int]]:
        """Yield the ids of traces that got new spans, gathered over `pause` seconds; ends when the store closes."""
        return self._arrivals.subscribe(pause)

    def end_subscriptions(self) -> None:
        """End all subscriptions now, so that a server can finish its open responses before it closes the store."""
        self._arrivals.close()

    @property
    def trouble(self) -> str:
        """What keeps the store from writing; empty while all is well."""
        return self._writer.trouble

    def stats(self) -> StoreStats:
        """Count what is here and what was dropped."""
        with self._readers.connection() as connection:
            counts = answers.counts(connection)
        bound = self._writer.bound
        return StoreStats(
            **counts,
            max_bytes=bound.max_bytes,
            waiting=self._writer.waiting,
            dropped_traces=bound.dropped_traces,
            dropped_spans=bound.dropped_spans,
            failed_spans=self._writer.failed_spans,
        )

    def _numbers(self, statement: str, start_ns: int, end_ns: int, limit: int) -> list[int]:
        with self._readers.connection() as connection:
            rows = connection.execute(statement, (moment(start_ns), moment(end_ns), limit))
            return [number for (number,) in rows]


@contextmanager
def _temporary_file() -> Iterator[Path]:
    handle, name = tempfile.mkstemp(prefix="mmtrace-", suffix=".db")
    os.close(handle)
    try:
        yield Path(name)
    finally:
        remove(Path(name))


__all__ = [
    "DEFAULT_MAX_BYTES",
    "SMALLEST_MAX_BYTES",
    "Batch",
    "IncomingLink",
    "LinkEnd",
    "LogRecord",
    "Store",
    "StoreError",
    "StoreStats",
    "StoredMetric",
    "TraceQuery",
    "TraceSummary",
]
