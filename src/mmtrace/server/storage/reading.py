"""Connections for readers, and spans as values from rows."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage

from mmtrace.otlp.decode import decode_span, resource_of, scope_of
from mmtrace.server.storage.database import StoreError, open_reader
from mmtrace.server.storage.writer import Writer
from mmtrace.spans import Resource, Scope, SpanData

_SETTLE: Final = 30.0
"""Seconds that a reader waits for what was accepted before it asked."""
_CHUNK: Final = 500
_IDLE: Final = 8


class Readers:
    """Lends connections; a reader has one for itself as long as it reads."""

    def __init__(self, file: Path, writer: Writer) -> None:
        self._file = file
        self._writer = writer
        self._idle: list[sqlite3.Connection] = []
        self._closed = False

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection that sees everything accepted so far. Raises StoreError where the file cannot be read."""
        self._writer.settle(_SETTLE)
        if self._closed:
            raise StoreError("the store is closed")
        try:
            connection = self._take()
            try:
                yield connection
            finally:
                self._give(connection)
        except sqlite3.DatabaseError as error:
            raise StoreError(f"the store {self._file} cannot be read: {error}") from error

    def close(self) -> None:
        """Close the idle connections now and the others when they come back."""
        self._closed = True
        while self._idle:
            self._take().close()

    def _take(self) -> sqlite3.Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return open_reader(self._file)

    def _give(self, connection: sqlite3.Connection) -> None:
        if self._closed or len(self._idle) >= _IDLE:
            connection.close()
        else:
            self._idle.append(connection)


class Origins:
    """Resources and scopes by their number, each decoded once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._known: dict[int, tuple[Resource, Scope]] = {}

    def __getitem__(self, number: int) -> tuple[Resource, Scope]:
        if number not in self._known:
            self._known[number] = self._read(number)
        return self._known[number]

    def _read(self, number: int) -> tuple[Resource, Scope]:
        resource, resource_schema, scope, scope_schema = self._connection.execute(
            "SELECT resource, resource_schema, scope, scope_schema FROM origins WHERE id = ?", (number,)
        ).fetchone()
        return (
            resource_of(ResourceMessage.FromString(resource), resource_schema),
            scope_of(InstrumentationScope.FromString(scope), scope_schema),
        )


def spans_of_trace(connection: sqlite3.Connection, trace: int) -> list[SpanData]:
    """Return all spans of the trace with this number."""
    rows = connection.execute("SELECT origin, data FROM full_spans WHERE trace = ?", (trace,))
    return list(_decoded(connection, rows))


def spans_by_number(readers: Readers, numbers: Sequence[int]) -> Iterator[SpanData]:
    """Yield spans in the order of `numbers`, a chunk a connection, so that a slow reader holds up nobody."""
    for at in range(0, len(numbers), _CHUNK):
        with readers.connection() as connection:
            chunk = [
                row
                for number in numbers[at : at + _CHUNK]
                for row in connection.execute("SELECT origin, data FROM full_spans WHERE id = ?", (number,))
            ]
            spans = list(_decoded(connection, chunk))
        yield from spans


def _decoded(connection: sqlite3.Connection, rows: Iterable[tuple[int, bytes]]) -> Iterator[SpanData]:
    origins = Origins(connection)
    for number, data in rows:
        yield decode_span(data, *origins[number])
