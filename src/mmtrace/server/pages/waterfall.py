"""The rows of one trace as columns of numbers, small enough to be a part of the page.

Moments are nanoseconds since the start of the trace, rows stand in the order of the tree, names are said once.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from mmtrace import attributes as names
from mmtrace.analysis import TimeSpent, phases, self_time
from mmtrace.analysis.phases import number
from mmtrace.server.pages.formats import span_id, trace_id
from mmtrace.server.pages.links import End
from mmtrace.spans import Event, SpanData, Trace

Columns: TypeAlias = dict[str, Any]

_MARKS = {names.COMPUTE_START: "compute", names.FIRST_OUTPUT: "first", names.OUTPUT_STALL: "stall"}


class _Words:
    """Strings that are said once and then numbered."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def number(self, word: str) -> int:
        return self.known.setdefault(word, len(self.known))


def columns(trace: Trace, spent: TimeSpent, ends: Mapping[int, Iterable[End]], slots: Mapping[str, int]) -> Columns:
    """Return what the page draws: `ends` are the links of each span, `slots` the colours of services."""
    words, services = _Words(), _Words()
    ordered = list(trace.walk())
    row_of = {span.span_id: row for row, (_, span) in enumerate(ordered)}
    spans = [span for _, span in ordered]
    return {
        "trace": trace_id(trace.trace_id),
        "start": str(trace.start_time),
        "length": trace.end_time - trace.start_time,
        "ids": [span_id(span.span_id) for span in spans],
        "depths": [depth for depth, _ in ordered],
        "names": [words.number(span.name) for span in spans],
        "services": [services.number(span.service) for span in spans],
        "starts": [span.start_time - trace.start_time for span in spans],
        "ends": [max(span.end_time, span.start_time) - trace.start_time for span in spans],
        "errors": [row for row, span in enumerate(spans) if span.is_error],
        "calls": {row: _call(span, trace, words) for row, span in enumerate(spans) if span.model is not None},
        "children": _children(trace, spans),
        "events": {row: _events(span.events, trace, words) for row, span in enumerate(spans) if span.events},
        "links": {row_of[key]: [end.to_json() for end in found] for key, found in ends.items() if key in row_of},
        "shares": [_share(share.phase.value, share.model, share.spans, row_of) for share in spent.shares],
        "words": list(words.known),
        "palette": [[service, slots[service]] for service in services.known],
        "slots": slots,
    }


def _call(span: SpanData, trace: Trace, words: _Words) -> list[int | None]:
    """Return model, start of compute, first output and the consumer's own time of one model call."""
    parted = phases(span)
    first = None if parted.first_output is None else parted.first_output - trace.start_time
    consumer = number(span, names.CONSUMER_DURATION)
    held = round(consumer * 1e9) if consumer else None
    return [words.number(span.model or ""), parted.compute_start - trace.start_time, first, held]


def _children(trace: Trace, spans: Iterable[SpanData]) -> dict[int, list[int]]:
    """Return when children of each span ran, flat: start, end, start, end ..."""
    inner = {row: self_time(trace, span).children for row, span in enumerate(spans)}
    return {
        row: [moment - trace.start_time for times in found for moment in times] for row, found in inner.items() if found
    }


def _events(events: Iterable[Event], trace: Trace, words: _Words) -> list[list[int | str]]:
    return [
        [event.time - trace.start_time, words.number(event.name), _mark(event)]
        for event in sorted(events, key=lambda event: event.time)
    ]


def _mark(event: Event) -> str:
    return "error" if names.EXCEPTION_TYPE in event.attributes else _MARKS.get(event.name, "")


def _share(phase: str, model: str | None, spans: Iterable[int], row_of: Mapping[int, int]) -> list[Any]:
    return [phase, model, sorted(row_of[key] for key in spans)]
