"""One file of batches on disk, in SQLite, held by one process at a time.

The lock of the file is SQLite's own, exclusive for as long as it is open. The kernel takes it back when the process
dies, however that happens, and no process id is compared: containers that share a volume are told apart as well. In
WAL mode a commit is safe from the death of the process without a sync; from a loss of power from the last checkpoint
on. Source: https://www.sqlite.org/wal.html#use_of_wal_without_shared_memory.
"""

import ctypes
import os
import sqlite3
import time
import uuid
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import quote

from mmtrace.transport.clock import now

Row: TypeAlias = tuple[int, int, bytes]
"""Number, count of items and body of a batch."""

SUFFIX: Final = ".db"
WAL: Final = "-wal"
DAMAGED: Final = ".damaged"
_PRIVATE: Final = 0o600
_VERSION: Final = 1
_PAGE: Final = 4096
_FEWEST_PAGES, _MOST_PAGES = 16, 1000
_STEP: Final = 32
_ROWS: Final = 64
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS batch (id INTEGER PRIMARY KEY, time REAL, count INTEGER, size INTEGER, body BLOB)"
)


class Taken(Exception):
    """The file cannot be had: another process holds it, or it is gone, or a later version has written it."""


class SpoolFile:
    """The file at `path`. Every method may raise sqlite3.Error; `open` and `create` also OSError and Taken."""

    def __init__(self, path: Path, wal_bytes: int) -> None:
        self.path = path
        self.items = self.bytes = 0
        self._next = 1
        self._doomed: list[tuple[int, int]] = []
        self._flying: tuple[int, int] = (0, 0)
        self._epoch = time.time() - now()
        try:
            self._connection = _connect(path, wal_bytes)
            try:
                self._look()
            except BaseException:
                self._connection.close()
                raise
        except sqlite3.OperationalError as error:  # SQLite says "disk I/O error" where it misses the file
            if path.exists():
                raise
            raise Taken("it was removed while it was opened") from error

    @classmethod
    def create(cls, folder: Path, label: str, wal_bytes: int) -> "SpoolFile":
        """Return a new file in `folder` that only its owner may read."""
        path = folder / f"{label}-{uuid.uuid4().hex}{SUFFIX}"
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE))
        return cls(path, wal_bytes)

    def _look(self) -> None:
        if not self.path.exists():
            raise Taken("it was removed while it was opened")
        if self._value("PRAGMA user_version") > _VERSION:
            raise Taken("a later version of mmtrace has written it")
        with self._writing():
            self._connection.execute(f"PRAGMA user_version={_VERSION}")
            self._connection.execute(_TABLE)
            self._connection.execute("UPDATE batch SET time = ? WHERE time > ?", [self._time()] * 2)
        self.items = self._value("SELECT coalesce(sum(count), 0) FROM batch")
        self.bytes = self._value("SELECT coalesce(sum(size), 0) FROM batch")
        self._next = 1 + self._value("SELECT coalesce(max(id), 0) FROM batch")

    @property
    def size(self) -> int:
        """Bytes of the file itself."""
        return self.path.stat().st_size

    def append(self, bodies: Sequence[tuple[int, bytes]]) -> list[int]:
        """Keep bodies, each with its count of items, one after the other; returns their numbers.

        Where one fails, those before it are forgotten again. Many go in one statement, which is a transaction of its
        own: every step of SQLite gives the interpreter away, and four busy threads may keep it for 100 ms.
        """
        numbers: list[int] = []
        try:
            for start in range(0, len(bodies), _ROWS):
                numbers += self._insert(bodies[start : start + _ROWS])
        except sqlite3.Error:
            if numbers:
                self.doom(numbers)
            raise
        return numbers

    def _insert(self, bodies: Sequence[tuple[int, bytes]]) -> list[int]:
        moment, numbers = self._time(), range(self._next, self._next + len(bodies))
        rows = [(number, moment, count, len(body), body) for number, (count, body) in zip(numbers, bodies, strict=True)]
        places = ", ".join(["(?, ?, ?, ?, ?)"] * len(rows))
        self._connection.execute(f"INSERT INTO batch VALUES {places}", list(chain.from_iterable(rows)))  # noqa: S608
        self.items += sum(count for count, _ in bodies)
        self.bytes += sum(len(body) for _, body in bodies)
        self._next += len(rows)
        return list(numbers)

    def read(self, max_items: int, max_bytes: int, *, newest: bool) -> list[Row]:
        """Return the oldest or the newest batches within both bounds, but at least one, in order of age.

        They make way for nothing until the next time.
        """
        self.purge()
        found: list[Row] = []
        order = "DESC" if newest else "ASC"
        cursor = self._connection.execute(f"SELECT id, count, body FROM batch ORDER BY id {order}")  # noqa: S608
        for number, count, body in cursor:
            max_items -= count
            max_bytes -= len(body)
            if found and (max_items < 0 or max_bytes < 0):
                break
            found.append((number, count, body))
        cursor.close()
        found.sort()
        self._flying = (found[0][0], found[-1][0]) if found else (0, 0)
        return found

    def doom(self, numbers: Sequence[int]) -> None:
        """Let batches that were read together be forgotten before anything else is read; touches no disk."""
        self._doomed.append((numbers[0], numbers[-1]))

    def purge(self) -> None:
        """Forget what was doomed."""
        for first, last in list(self._doomed):
            self._forget(f"id >= {first} AND id <= ?", last)
            self._doomed.remove((first, last))

    def replace(self, number: int, bodies: Sequence[tuple[int, bytes]]) -> list[int]:
        """Put several bodies in the place of one, at once or not at all."""
        with self._writing():
            self._forget("id = ?", number)
            return self.append(bodies)

    def make_way(self, size: int) -> int:
        """Forget the oldest batches until so many bytes are free; returns how many items those were."""
        last = 0
        for number, each in self._connection.execute("SELECT id, size FROM batch WHERE id > ?", [self._flying[1]]):
            if size <= 0:
                break
            last, size = number, size - each
        return self._lose("id <= ?", last) if last else 0

    def expire(self, age: float) -> int:
        """Forget what is older than `age` seconds; returns how many items that were."""
        past = self._time() - age
        oldest = self._connection.execute("SELECT time FROM batch ORDER BY id LIMIT 1").fetchone()
        return self._lose("time < ?", past) if oldest is not None and oldest[0] < past else 0

    def close(self) -> None:
        """Let go of the file, for this or another process to open; it is removed where it holds nothing."""
        try:
            if self._is_spent():
                self.discard()
            else:
                self.purge()
        finally:
            self._connection.close()

    def _is_spent(self) -> bool:
        """Whether it holds nothing but what is to be forgotten."""
        kept = "".join(f" AND id NOT BETWEEN {first} AND {last}" for first, last in self._doomed)
        query = f"SELECT 1 FROM batch WHERE 1{kept} LIMIT 1"  # noqa: S608
        return self._connection.execute(query).fetchone() is None

    def discard(self) -> None:
        """Remove the file with all that it holds; while it is locked, so that nobody can have opened it."""
        try:
            self.path.unlink()
        finally:
            self._connection.close()
        wal_of(self.path).unlink(missing_ok=True)

    def set_aside(self) -> None:
        """Rename the file, so that nobody opens it again."""
        self._connection.close()
        set_aside(self.path)

    def leave_to_parent(self) -> None:
        """Never touch the file again in a forked child: to close it would change it under the parent's hands."""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))

    def _lose(self, condition: str, value: float) -> int:
        before = self.items
        first, last = self._flying
        self._forget(f"{condition} AND id NOT BETWEEN {first} AND {last}", value)
        return before - self.items

    def _forget(self, condition: str, value: float) -> None:
        """Delete in small steps: a log of all of it at once may not fit on a disk that is almost full."""
        step = f"SELECT id, count, size FROM batch WHERE {condition} ORDER BY id LIMIT {_STEP}"  # noqa: S608
        while rows := self._connection.execute(step, [value]).fetchall():
            with self._writing():
                self._connection.executemany("DELETE FROM batch WHERE id = ?", [row[:1] for row in rows])
                self.items -= sum(row[1] for row in rows)
                self.bytes -= sum(row[2] for row in rows)

    def _time(self) -> float:
        """Return the time of day as it was when the file was opened, moved on: a clock that is set ages nothing."""
        return self._epoch + now()

    def _value(self, query: str) -> int:
        value: int = self._connection.execute(query).fetchone()[0]
        return value

    def _writing(self) -> "_Transaction":
        return _Transaction(self, self._connection)


class _Transaction:
    """All or nothing, in the file and in what is known of it; one inside another is part of it."""

    def __init__(self, file: SpoolFile, connection: sqlite3.Connection) -> None:
        self._file = file
        self._connection = connection
        self._is_inner = connection.in_transaction

    def __enter__(self) -> None:
        self._before = (self._file.items, self._file.bytes)
        if not self._is_inner:
            self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        if self._is_inner:
            return
        try:
            if kind is None:
                self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._file.items, self._file.bytes = self._before
                self._connection.execute("ROLLBACK")


def set_aside(path: Path) -> None:
    """Rename a file that cannot be read, so that nobody opens it again."""
    path.rename(f"{path}{DAMAGED}")


def wal_of(path: Path) -> Path:
    """Return where SQLite keeps what is not in the file yet."""
    return path.with_name(path.name + WAL)


def _connect(path: Path, wal_bytes: int) -> sqlite3.Connection:
    """Open the file without making it, and lock it."""
    pages = min(_MOST_PAGES, max(_FEWEST_PAGES, wal_bytes // _PAGE))
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw", uri=True, timeout=0, isolation_level=None, check_same_thread=False
    )
    try:
        for pragma in (
            "locking_mode=EXCLUSIVE",
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "secure_delete=OFF",
            "cache_size=-512",
            f"wal_autocheckpoint={pages}",
            f"journal_size_limit={pages * _PAGE}",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except sqlite3.OperationalError as error:
        connection.close()
        if "locked" in str(error) or "unable to open" in str(error):
            raise Taken(str(error)) from error
        raise
    except sqlite3.Error:
        connection.close()
        raise
    return connection
