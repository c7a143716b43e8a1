"""The file of the store: its tables, how it is opened, and what is said where it cannot be."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from mmtrace.errors import MMTraceError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

_APPLICATION_ID: Final = int.from_bytes(b"mmtr", "big")
_VERSION: Final = 1
_PAGE_SIZE: Final = 8192

_TABLES: Final = """
CREATE TABLE origins (
    id INTEGER PRIMARY KEY, resource BLOB, resource_schema TEXT, scope BLOB, scope_schema TEXT, service TEXT,
    UNIQUE (resource, resource_schema, scope, scope_schema)
);
CREATE TABLE operations (
    id INTEGER PRIMARY KEY, origin INTEGER, name TEXT, kind INTEGER, model TEXT,
    UNIQUE (origin, name, kind, model)
);
CREATE TABLE traces (
    id INTEGER PRIMARY KEY, trace_id BLOB UNIQUE NOT NULL, start INTEGER, end INTEGER, error INTEGER
);
CREATE INDEX traces_by_start ON traces (start);
CREATE TABLE spans (
    id INTEGER PRIMARY KEY, trace INTEGER, span_id BLOB, operation INTEGER, root INTEGER, error INTEGER,
    start INTEGER, end INTEGER, data BLOB
);
CREATE UNIQUE INDEX spans_by_trace ON spans (trace, span_id);
CREATE INDEX spans_by_operation ON spans (operation, start, trace);
CREATE TABLE links (
    target_trace BLOB, target_span BLOB, trace INTEGER, span_id BLOB,
    PRIMARY KEY (target_trace, target_span, trace, span_id)
) WITHOUT ROWID;
CREATE INDEX links_by_trace ON links (trace);
CREATE TABLE metrics (id INTEGER PRIMARY KEY, origin INTEGER, time INTEGER, name TEXT, data BLOB);
CREATE INDEX metrics_by_name ON metrics (name, time);
CREATE INDEX metrics_by_origin ON metrics (origin);
CREATE TABLE logs (
    id INTEGER PRIMARY KEY, origin INTEGER, time INTEGER, trace_id BLOB, span_id BLOB, severity TEXT, data BLOB
);
CREATE INDEX logs_by_trace ON logs (trace_id, time);
CREATE INDEX logs_by_origin ON logs (origin);
CREATE VIEW full_operations AS
    SELECT operations.*, service, resource FROM operations JOIN origins ON origins.id = operations.origin;
CREATE VIEW full_spans AS
    SELECT spans.*, origin, name, kind, model, service, resource
    FROM spans JOIN full_operations ON full_operations.id = spans.operation;
"""
# A trace's number grows with the order of arrival, so that its spans lie together and the oldest go as one range.
# Bytes come last in a row, so that a question about its other columns reads no overflow pages.


class StoreError(MMTraceError):
    """The file of the store cannot be opened, or is not one."""


def open_writer(file: Path, *, max_bytes: int, durable: bool) -> sqlite3.Connection:
    """Open `file` for the one writer, and make its tables where it is new.

    `durable` survives a crash of the machine, not only of the process. Raises StoreError.
    """
    try:
        connection = _connect(file)
        try:
            _prepare(connection, file, max_bytes, durable=durable)
        except BaseException:
            connection.close()
            raise
    except sqlite3.OperationalError as error:
        raise StoreError(f"cannot open the store {file}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{file} is damaged, or is no store of mmtrace: {error}; remove it or name another") from error
    return connection


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Keep every other store off `file` for as long as this one has it. Raises StoreError where another has it."""
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(f"cannot open the store {file}: {error.strerror}") from error
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise StoreError(f"the store {file} is in use by another mmtrace serve; name another") from error
    finally:
        os.close(handle)


def open_reader(file: Path) -> sqlite3.Connection:
    """Open `file` for questions only."""
    connection = _connect(file)
    connection.execute("PRAGMA query_only = 1")
    connection.execute("PRAGMA cache_size = -4096")
    return connection


def used_bytes(connection: sqlite3.Connection) -> int:
    """Return how many bytes of the file are in use; the rest is free for what comes."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    return int((pages - free) * _PAGE_SIZE)


def remove(file: Path) -> None:
    """Remove the file of a closed store with what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)


def _connect(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(file, timeout=5.0, isolation_level=None, check_same_thread=False)


def _prepare(connection: sqlite3.Connection, file: Path, max_bytes: int, *, durable: bool) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables:
        _check(connection, file, application, version)
    else:
        connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {'NORMAL' if durable else 'OFF'}")
    connection.execute("PRAGMA cache_size = -16384")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_journal_bytes(max_bytes) // _PAGE_SIZE}")
    connection.execute(f"PRAGMA journal_size_limit = {_journal_bytes(max_bytes)}")
    if not tables:
        connection.executescript(f"BEGIN; {_TABLES} COMMIT;")
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {_VERSION}")


def _journal_bytes(max_bytes: int) -> int:
    return min(8 << 20, max(16 * _PAGE_SIZE, max_bytes // 16))


def _check(connection: sqlite3.Connection, file: Path, application: int, version: int) -> None:
    if application != _APPLICATION_ID:
        raise StoreError(f"{file} is a database, but no store of mmtrace; name another")
    if version != _VERSION:
        raise StoreError(f"{file} was written by another version of mmtrace (format {version}, not {_VERSION})")
    with closing(connection.execute("PRAGMA quick_check(1)")) as found:
        (verdict,) = found.fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
