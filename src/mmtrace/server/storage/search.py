"""Finding traces, and summing each up in one row."""

import sqlite3
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from mmtrace.analysis.summary import summarize
from mmtrace.server.storage.batch import LAST_MOMENT, LONGEST_NAME
from mmtrace.server.storage.reading import Readers, spans_of_trace
from mmtrace.server.storage.text import Matches, has_attribute, matcher
from mmtrace.server.storage.values import TraceQuery, TraceSummary
from mmtrace.spans import Trace

_MEASURED: Final = 5_000
"""Traces of more spans show no share of queue and compute in a list: it would take seconds to tell."""


class Search:
    """Finds traces; remembers the rows of those that did not change."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._summary = lru_cache(maxsize=4096)(self._sum_up)

    def find(self, query: TraceQuery) -> list[TraceSummary]:
        """Return the newest traces that `query` asks for, newest first."""
        conditions = _conditions(query)
        statement = f"SELECT id, trace_id FROM traces {conditions.where} ORDER BY start DESC, id DESC LIMIT ?"  # noqa: S608
        with self._readers.connection() as connection:
            for name, matches in conditions.functions.items():
                connection.create_function(name, 2, matches)
            found = connection.execute(statement, (*conditions.values, max(1, query.limit))).fetchall()
            counted = [(number, trace_id, _count(connection, number)) for number, trace_id in found]
        rows = (self._summary(number, trace_id, spans) for number, trace_id, spans in counted)
        return [row for row in rows if row is not None]

    def _sum_up(self, number: int, trace_id: bytes, spans: int) -> TraceSummary | None:
        """Sum up a trace; `trace_id` and `spans` tell it from what it was before. None where it is gone."""
        with self._readers.connection() as connection:
            kinds = connection.execute(_KINDS, (number,)).fetchall()
            first = connection.execute(_FIRST, (number,)).fetchone()
            times = connection.execute("SELECT start, end FROM traces WHERE id = ?", (number,)).fetchone()
            measured = spans_of_trace(connection, number) if spans <= _MEASURED else []
        if not (kinds and first and times):
            return None
        shares = summarize(Trace.of(measured)) if measured else None
        return TraceSummary(
            trace_id=int.from_bytes(trace_id, "big"),
            root_name=first[0],
            root_service=first[1],
            start_time=times[0],
            duration=max(0, times[1] - times[0]) / 1e9,
            services=tuple(dict.fromkeys(service for service, _, _ in kinds)),
            models=tuple(dict.fromkeys(model for _, model, _ in kinds if model)),
            spans=spans,
            errors=sum(errors for _, _, errors in kinds),
            queue=shares.queue if shares else 0.0,
            compute=shares.compute if shares else 0.0,
        )


_KINDS: Final = """
SELECT service, model, sum(error) FROM full_spans WHERE trace = ? GROUP BY operation ORDER BY min(start)
"""
_FIRST: Final = """
SELECT name, service FROM full_spans WHERE trace = ? ORDER BY root DESC, start, id LIMIT 1
"""


def _count(connection: sqlite3.Connection, trace: int) -> int:
    (spans,) = connection.execute("SELECT count(*) FROM spans WHERE trace = ?", (trace,)).fetchone()
    return int(spans)


@dataclass
class _Conditions:
    """The WHERE of a search with its values, and the functions that it calls."""

    terms: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    functions: dict[str, Matches] = field(default_factory=dict)

    @property
    def where(self) -> str:
        return f"WHERE {' AND '.join(self.terms)}" if self.terms else ""

    def add(self, term: str, *values: object) -> None:
        self.terms.append(term)
        self.values.extend(values)

    def has_span(self, condition: str, *values: object) -> None:
        operations = f"SELECT id FROM full_operations WHERE {condition}"  # noqa: S608
        self.add(f"id IN (SELECT trace FROM spans WHERE operation IN ({operations}))", *values)  # noqa: S608

    def matches(self, function: Matches, alternative: str = "", *values: object) -> None:
        name = f"matches_{len(self.functions)}"
        self.functions[name] = function
        term = f"EXISTS (SELECT 1 FROM full_spans WHERE trace = traces.id AND {name}(data, resource))"  # noqa: S608
        self.add(f"({alternative} OR {term})" if alternative else term, *values)


def _conditions(query: TraceQuery) -> _Conditions:
    conditions = _Conditions()
    _bound_times(conditions, query)
    if query.errors_only:
        conditions.add("error = 1")
    _choose_operations(conditions, query)
    for key, value in query.attributes:
        conditions.matches(has_attribute(key, value))
    if text := query.text.strip():
        if trace_id := _trace_id(text):
            conditions.matches(matcher(text), "trace_id = ?", trace_id)
        else:
            conditions.matches(matcher(text))
    return conditions


def _bound_times(conditions: _Conditions, query: TraceQuery) -> None:
    if query.start_ns is not None:
        conditions.add("start >= ?", moment(query.start_ns))
    if query.end_ns is not None:
        conditions.add("start <= ?", moment(query.end_ns))
    if query.min_duration is not None:
        conditions.add("end - start >= ?", _nanoseconds(query.min_duration))
    if query.max_duration is not None:
        conditions.add("max(end - start, 0) <= ?", _nanoseconds(query.max_duration))


def _choose_operations(conditions: _Conditions, query: TraceQuery) -> None:
    wanted = {"service = ?": query.service, "name = ?": query.operation}
    chosen = {condition: value[:LONGEST_NAME] for condition, value in wanted.items() if value}
    if chosen:
        conditions.has_span(" AND ".join(chosen), *chosen.values())
    if query.model:
        conditions.has_span("model = ?", query.model[:LONGEST_NAME])


def moment(value: int) -> int:
    """Return `value` as a time that SQLite's integers hold."""
    return min(max(value, 0), LAST_MOMENT)


def _nanoseconds(seconds: float) -> float:
    """Return whole nanoseconds where they fit, so that 0.1 s finds what took exactly 0.1 s."""
    exact = seconds * 1e9
    return round(exact) if abs(exact) < 1e18 else exact


def _trace_id(text: str) -> bytes | None:
    try:
        trace_id = bytes.fromhex(text)
    except ValueError:
        return None
    return trace_id if len(trace_id) == 16 else None
