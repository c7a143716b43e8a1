"""Answers to the smaller questions: names, links, logs, metrics and counts."""

import json
import sqlite3
from collections.abc import Iterable
from typing import Final

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord as LogMessage
from opentelemetry.trace import SpanKind

from mmtrace.otlp.decode import value_of
from mmtrace.server.storage.batch import LONGEST_NAME
from mmtrace.server.storage.database import used_bytes
from mmtrace.server.storage.values import IncomingLink, LinkEnd, LogRecord, StoredMetric

_SPAN_KINDS: Final = {kind.value + 1: kind for kind in SpanKind}

_INCOMING: Final = """
SELECT trace_id, source.span_id, name, service, source.start, source.end, target_span FROM links
JOIN traces ON traces.id = links.trace
JOIN full_spans AS source ON source.trace = links.trace AND source.span_id = links.span_id
WHERE target_trace = ? AND trace_id != target_trace ORDER BY source.start
"""
_END_AT: Final = """
SELECT trace_id, span_id, name, service, full_spans.start, full_spans.end FROM traces
JOIN full_spans ON full_spans.trace = traces.id WHERE trace_id = ? AND span_id = ?
"""


def services(connection: sqlite3.Connection) -> list[str]:
    """Return the names of services that have spans."""
    return [service for (service,) in connection.execute("SELECT DISTINCT service FROM full_operations ORDER BY 1")]


def operations(connection: sqlite3.Connection, service: str) -> list[tuple[str, SpanKind]]:
    """Return names and kinds of the spans of `service`."""
    rows = connection.execute(
        "SELECT DISTINCT name, kind FROM full_operations WHERE service = ? ORDER BY 1, 2", (service[:LONGEST_NAME],)
    )
    return [(name, _SPAN_KINDS.get(kind, SpanKind.INTERNAL)) for name, kind in rows]


def models(connection: sqlite3.Connection) -> list[str]:
    """Return the names of models that were called."""
    return [
        model for (model,) in connection.execute("SELECT DISTINCT model FROM operations WHERE model != '' ORDER BY 1")
    ]


def linked_from(connection: sqlite3.Connection, trace_id: int) -> list[IncomingLink]:
    """Return links of other traces to this one."""
    rows = connection.execute(_INCOMING, (trace_id.to_bytes(16, "big"),))
    return [IncomingLink(_link_end(*end), int.from_bytes(target, "big")) for *end, target in rows]


def link_ends(connection: sqlite3.Connection, ends: Iterable[tuple[int, int]]) -> dict[tuple[int, int], LinkEnd]:
    """Return what is known of spans by their ids."""
    found: dict[tuple[int, int], LinkEnd] = {}
    for trace_id, span_id in ends:
        ids = (trace_id.to_bytes(16, "big"), span_id.to_bytes(8, "big"))
        if row := connection.execute(_END_AT, ids).fetchone():
            found[trace_id, span_id] = _link_end(*row)
    return found


def _link_end(trace_id: bytes, span_id: bytes, name: str, service: str, start: int, end: int) -> LinkEnd:
    duration = max(0, end - start) / 1e9
    return LinkEnd(int.from_bytes(trace_id, "big"), int.from_bytes(span_id, "big"), name, service, start, duration)


def logs(connection: sqlite3.Connection, trace_id: int, limit: int) -> list[LogRecord]:
    """Return the first log records of a trace."""
    rows = connection.execute(
        "SELECT time, severity, data, service, span_id FROM logs JOIN origins ON origins.id = origin"
        " WHERE trace_id = ? ORDER BY time, logs.id LIMIT ?",
        (trace_id.to_bytes(16, "big"), limit),
    )
    return [_log(*row) for row in rows]


def _log(time: int, severity: str, data: bytes, service: str, span_id: bytes | None) -> LogRecord:
    message = LogMessage.FromString(data)
    body = value_of(message.body)
    text = body if isinstance(body, str) else json.dumps(body, default=repr)
    attributes = {pair.key: value_of(pair.value) for pair in message.attributes}
    return LogRecord(time, severity, text, service, int.from_bytes(span_id, "big") if span_id else None, attributes)


def log_count(connection: sqlite3.Connection, trace_id: int) -> int:
    """Return how many log records a trace has."""
    found = connection.execute("SELECT count(*) FROM logs WHERE trace_id = ?", (trace_id.to_bytes(16, "big"),))
    return int(found.fetchone()[0])


def metrics(connection: sqlite3.Connection, times: tuple[int, int], name: str | None, limit: int) -> list[StoredMetric]:
    """Return metrics by time of arrival, newest first."""
    named = "AND name = ?" if name is not None else ""
    values = (*times, *([] if name is None else [name]), limit)
    rows = connection.execute(
        "SELECT time, service, name, data FROM metrics JOIN origins ON origins.id = origin"  # noqa: S608  # own words
        f" WHERE time BETWEEN ? AND ? {named} ORDER BY time DESC, metrics.id DESC LIMIT ?",
        values,
    )
    return [StoredMetric(*row) for row in rows]


def counts(connection: sqlite3.Connection) -> dict[str, int]:
    """Return how many rows there are of each kind, and the bytes in use."""
    tables = ("traces", "spans", "metrics", "logs")
    found = {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}  # noqa: S608
    return {**found, "bytes": used_bytes(connection)}
