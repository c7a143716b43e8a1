"""Queries in the form of Jaeger's /api/v3: services, operations and traces, traces as OTLP-JSON.

Source: https://www.jaegertracing.io/docs/2.13/architecture/apis/.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Final, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from mmtrace.otlp.json_form import to_json
from mmtrace.server.refusals import Refusal
from mmtrace.server.store import Store, TraceQuery
from mmtrace.spans import Trace

T = TypeVar("T")

_MOST_TRACES: Final = 1_500
_TRACES: Final = 100
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)")
_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")  # two signs for micro
_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def routes(store: Store) -> list[Route]:
    """Return the routes that answer from `store`."""
    api = _QueryApi(store)
    return [
        Route("/api/v3/services", api.services),
        Route("/api/v3/operations", api.operations),
        Route("/api/v3/traces", api.find),
        Route("/api/v3/traces/{trace_id}", api.trace),
    ]


class _QueryApi:
    """The endpoints; they run in worker threads, because the store may wait for the disk."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def services(self, request: Request) -> JSONResponse:
        """List the services."""
        return JSONResponse({"services": self._store.services()})

    def operations(self, request: Request) -> JSONResponse:
        """List the operations of a service, perhaps of one kind."""
        parameters = _Parameters(request.query_params)
        service = parameters.text("service")
        if not service:
            raise Refusal(400, "service is required")
        kind = parameters.text("span_kind").lower()
        found = [{"name": name, "spanKind": of.name.lower()} for name, of in self._store.operations(service)]
        return JSONResponse({"operations": [item for item in found if kind in {"", item["spanKind"]}]})

    def find(self, request: Request) -> JSONResponse:
        """Find traces."""
        query = _query(_Parameters(request.query_params))
        found = (self._store.trace(summary.trace_id) for summary in self._store.search(query))
        return _answer([trace for trace in found if trace is not None])

    def trace(self, request: Request) -> JSONResponse:
        """Return one trace; a time given with it must be one, but is not needed to find it."""
        parameters = _Parameters(request.query_params)
        parameters.time("start_time")
        parameters.time("end_time")
        trace = self._store.trace(_trace_id(request.path_params["trace_id"]))
        return _answer([] if trace is None else [trace])


def _answer(traces: Iterable[Trace]) -> JSONResponse:
    spans = [span for trace in traces for span in trace.spans]
    if not spans:
        raise Refusal(404, "No traces found")
    return JSONResponse({"result": to_json(spans)})


class _Parameters:
    """The parameters of a query, each by its name in snake or in camel case."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given

    def text(self, name: str) -> str:
        """Return a parameter as it was given, empty where it was not."""
        return self._given.get(name) or self._given.get(_camel(name)) or ""

    def time(self, name: str) -> int | None:
        """Return a time (RFC 3339) in nanoseconds since the epoch."""
        return self._parsed(name, _nanoseconds)

    def duration(self, name: str) -> float | None:
        """Return a duration (`1.5s`, `2m30s`) in seconds."""
        return self._parsed(name, _seconds)

    def number(self, name: str) -> int | None:
        """Return a whole number that is not negative."""
        return self._parsed(name, _count)

    def attributes(self, name: str) -> tuple[tuple[str, str], ...]:
        """Return the pairs of a JSON object of strings."""
        return self._parsed(name, _pairs) or ()

    def _parsed(self, name: str, parse: Callable[[str], T]) -> T | None:
        if not (text := self.text(name)):
            return None
        try:
            return parse(text)
        except (ValueError, OverflowError, RecursionError) as error:
            raise Refusal(400, f"malformed parameter {name}: {error}") from error


def _query(parameters: _Parameters) -> TraceQuery:
    start, end = parameters.time("query.start_time_min"), parameters.time("query.start_time_max")
    if start is None or end is None:
        raise Refusal(400, "query.start_time_min and query.start_time_max are required")
    limit = parameters.number("query.search_depth") or parameters.number("query.num_traces") or _TRACES
    return TraceQuery(
        service=parameters.text("query.service_name"),
        operation=parameters.text("query.operation_name"),
        min_duration=parameters.duration("query.duration_min"),
        max_duration=parameters.duration("query.duration_max"),
        attributes=parameters.attributes("query.attributes"),
        start_ns=start,
        end_ns=end,
        limit=min(limit, _MOST_TRACES),
    )


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _trace_id(text: str) -> int:
    if not re.fullmatch(r"[0-9a-fA-F]{1,32}", text):
        raise Refusal(400, f"malformed parameter trace_id: {text[:40]!r} is not 1 to 32 hexadecimal digits")
    return int(text, 16)


def _nanoseconds(text: str) -> int:
    parts = _TIME.fullmatch(text.strip())
    if not parts:
        raise ValueError(f"{text[:40]!r} is no time like 2026-11-22T10:30:00.5Z")
    day, clock, fraction, zone = parts.groups()
    moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in 'Zz' else zone}")
    whole = moment - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return (whole.days * 86_400 + whole.seconds) * 1_000_000_000 + int((fraction or "0").ljust(9, "0"))


def _seconds(text: str) -> float:
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text[:40]!r} is no duration like 100ms, 1.5s or 2m30s")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError(f"{text[:40]!r} is no whole number")
    return int(text)


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    pairs = json.loads(text)
    if not isinstance(pairs, dict) or not all(isinstance(value, str) for value in pairs.values()):
        raise ValueError('it is no JSON object of strings like {"http.route": "/read"}')
    return tuple(pairs.items())
