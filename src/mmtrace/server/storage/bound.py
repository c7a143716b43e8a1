"""The bound on the size of the store: what came first goes first, traces as a whole."""

import sqlite3
from typing import Final

from mmtrace.server.storage.database import used_bytes

_STEP: Final = 32
"""A step removes one trace in this many; the bound is enforced when a part of this size is left of the file."""
_SHARE: Final = 8
"""Metrics and logs may each take one part in this many."""

_UNUSED: Final = (
    "DELETE FROM operations WHERE NOT EXISTS (SELECT 1 FROM spans WHERE operation = operations.id)",
    """DELETE FROM origins WHERE NOT EXISTS (SELECT 1 FROM operations WHERE origin = origins.id)
       AND NOT EXISTS (SELECT 1 FROM metrics WHERE origin = origins.id)
       AND NOT EXISTS (SELECT 1 FROM logs WHERE origin = origins.id)""",
)


class Bound:
    """Keeps the file within `max_bytes`; for the thread that writes."""

    def __init__(self, connection: sqlite3.Connection, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.dropped_traces = 0
        self.dropped_spans = 0
        self._connection = connection
        self._high = max_bytes - max_bytes // 8
        self._low = self._high - self._high // _STEP

    def enforce(self) -> bool:
        """Remove what is too much, and return whether anything was."""
        if used_bytes(self._connection) <= self._high:
            return False
        self._connection.execute("BEGIN")
        try:
            self._trim("metrics")
            self._trim("logs")
            while used_bytes(self._connection) > self._low and self._drop_oldest():
                pass
            for statement in _UNUSED:
                self._connection.execute(statement)
        finally:
            self._connection.execute("COMMIT")
        self._shrink()
        return True

    def _trim(self, table: str) -> None:
        """Remove the older half of a table that takes more than its share."""
        (size,) = self._connection.execute(f"SELECT sum(length(data)) FROM {table}").fetchone()  # noqa: S608  # own names
        if (size or 0) > self.max_bytes // _SHARE:
            middle = f"(SELECT (min(id) + max(id)) / 2 FROM {table})"  # noqa: S608
            self._connection.execute(f"DELETE FROM {table} WHERE id <= {middle}")  # noqa: S608

    def _drop_oldest(self) -> int:
        (traces,) = self._connection.execute("SELECT count(*) FROM traces").fetchone()
        if not traces:
            return 0
        (last,) = self._connection.execute(
            "SELECT id FROM traces ORDER BY id LIMIT 1 OFFSET ?", (traces // _STEP,)
        ).fetchone()
        self.dropped_spans += self._connection.execute("DELETE FROM spans WHERE trace <= ?", (last,)).rowcount
        self._connection.execute("DELETE FROM links WHERE trace <= ?", (last,))
        dropped = self._connection.execute("DELETE FROM traces WHERE id <= ?", (last,)).rowcount
        self.dropped_traces += dropped
        return dropped

    def _shrink(self) -> None:
        """Give pages back to the disk where the file itself has grown too large."""
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        (page_size,) = self._connection.execute("PRAGMA page_size").fetchone()
        if pages * page_size > self.max_bytes:
            self._connection.executescript("PRAGMA incremental_vacuum")  # execute() would stop after one page
