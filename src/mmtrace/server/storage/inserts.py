"""Rows into tables: what belongs to many rows is kept once and stands in them as a number."""

import sqlite3
import time
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final, TypeAlias

from mmtrace.server.storage.batch import Batch, Origin

_ROWS: Final = 64
_TRACE: Final = "(SELECT id FROM traces WHERE trace_id = ?)"

Row: TypeAlias = "tuple[Any, ...]"


class Insert:
    """One INSERT that takes many rows a statement.

    Python gives its lock away around each statement: with a row a statement, a busy thread would hold up every row.
    """

    def __init__(self, into: str, row: str, conflict: str = "") -> None:
        self._one = f"{into} VALUES {row} {conflict}"
        self._many = f"{into} VALUES {', '.join([row] * _ROWS)} {conflict}"

    def __call__(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
        """Insert `rows`."""
        whole = len(rows) - len(rows) % _ROWS
        for at in range(0, whole, _ROWS):
            connection.execute(self._many, list(chain.from_iterable(rows[at : at + _ROWS])))
        connection.executemany(self._one, rows[whole:])


_TRACES: Final = Insert(
    "INSERT INTO traces (trace_id, start, end, error)",
    "(?, ?, ?, ?)",
    "ON CONFLICT (trace_id) DO UPDATE SET"
    " start = min(start, excluded.start), end = max(end, excluded.end), error = max(error, excluded.error)",
)
_SPANS: Final = Insert(
    "INSERT OR IGNORE INTO spans (operation, trace, span_id, root, error, start, end, data)",
    f"(?, {_TRACE}, ?, ?, ?, ?, ?, ?)",
)
_LINKS: Final = Insert(
    "INSERT OR IGNORE INTO links (target_trace, target_span, trace, span_id)", f"(?, ?, {_TRACE}, ?)"
)
_METRICS: Final = Insert("INSERT INTO metrics (origin, time, name, data)", "(?, ?, ?, ?)")
_LOGS: Final = Insert("INSERT INTO logs (origin, time, trace_id, span_id, severity, data)", "(?, ?, ?, ?, ?, ?)")


class Interned:
    """The numbers of values that stand in many rows of other tables."""

    def __init__(self, table: str, columns: Sequence[str]) -> None:
        places = ", ".join("?" * len(columns))
        self._insert = f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608  # own names
        self._select = f"SELECT id FROM {table} WHERE ({', '.join(columns)}) = ({places})"  # noqa: S608
        self._known: dict[Row, int] = {}

    def number(self, connection: sqlite3.Connection, value: Row) -> int:
        """Return the number of `value`, which may be new."""
        number = self._known.get(value)
        return self._find(connection, value) if number is None else number

    def _find(self, connection: sqlite3.Connection, value: Row) -> int:
        if len(self._known) >= 10_000:
            self._known.clear()
        connection.execute(self._insert, value)
        (number,) = connection.execute(self._select, value).fetchone()
        self._known[value] = number
        return int(number)

    def forget(self) -> None:
        """Look up everything again: rows may have been removed."""
        self._known.clear()


class Inserter:
    """Inserts batches; for the thread that writes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._origins = Interned("origins", ("resource", "resource_schema", "scope", "scope_schema", "service"))
        self._operations = Interned("operations", ("origin", "name", "kind", "model"))

    def insert(self, batch: Batch) -> None:
        """Insert all rows of `batch` in one transaction, or none of them. Raises sqlite3.Error."""
        self._connection.execute("BEGIN")
        try:
            self._insert(batch)
            self._connection.execute("COMMIT")
        except BaseException:
            self.forget()
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def forget(self) -> None:
        """Look up everything again: rows may have been removed."""
        self._origins.forget()
        self._operations.forget()

    def _insert(self, batch: Batch) -> None:
        connection = self._connection
        now = time.time_ns()
        _TRACES(connection, [(trace_id, *trace) for trace_id, trace in batch.traces.items()])
        _SPANS(connection, list(self._span_rows(batch)))
        _LINKS(connection, batch.links)
        _METRICS(connection, [(self._origin(origin), now, *row) for origin, rows in batch.metrics for row in rows])
        _LOGS(connection, [(self._origin(origin), *row) for origin, rows in batch.logs for row in rows])

    def _origin(self, origin: Origin) -> int:
        return self._origins.number(self._connection, origin)

    def _span_rows(self, batch: Batch) -> Iterable[Row]:
        connection, number = self._connection, self._operations.number
        for origin, rows in batch.spans:
            at = self._origin(origin)
            for operation, *row in rows:
                yield (number(connection, (at, *operation)), *row)
