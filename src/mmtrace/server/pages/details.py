"""Everything that is known of one span, in the order in which a person reads it."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from mmtrace import attributes as names
from mmtrace.analysis import Phases, phases, self_time
from mmtrace.server.pages.formats import duration, iso, span_id
from mmtrace.server.pages.links import End
from mmtrace.server.store import LogRecord
from mmtrace.spans import AttributeValue, SpanData, Trace

Pairs: TypeAlias = list[tuple[str, str]]

_MODEL: Final = {
    names.MODEL_NAME: "Model",
    names.MODEL_VERSION: "Version",
    names.MODEL_TASK: "Task",
    names.MODEL_FRAMEWORK: "Framework",
    names.MODEL_DEVICE: "Device",
    names.MODEL_DTYPE: "Type of weights",
    names.BATCH_SIZE: "Batch size",
    names.INPUT_TOKENS: "Tokens in",
    names.OUTPUT_TOKENS: "Tokens out",
    names.OUTPUT_COUNT: "Items of the stream",
    names.OUTPUT_STALLS: "Stalls",
    names.STREAM_END: "Stream ended",
    names.OUTCOME: "Outcome",
}
_FOREIGN: Final = {
    names.MODEL_NAME: names.GEN_AI_REQUEST_MODEL,
    names.INPUT_TOKENS: names.GEN_AI_USAGE_INPUT_TOKENS,
    names.OUTPUT_TOKENS: names.GEN_AI_USAGE_OUTPUT_TOKENS,
}
_CONTENT: Final = {
    names.INPUT_CONTENT: "Input",
    names.OUTPUT_CONTENT: "Output",
    names.GEN_AI_SYSTEM_INSTRUCTIONS: "System instructions",
    names.GEN_AI_INPUT_MESSAGES: "Input messages",
    names.GEN_AI_OUTPUT_MESSAGES: "Output messages",
}


def details(trace: Trace, span: SpanData, ends: Iterable[End], logs: Iterable[LogRecord]) -> dict[str, Any]:
    """Return the details of `span` as plain JSON; every value is text already."""
    return {
        "id": span_id(span.span_id),
        "name": span.name,
        "service": span.service,
        "kind": span.kind.name.lower(),
        "error": span.is_error,
        "message": span.status_message,
        "start": iso(span.start_time),
        "timing": _timing(trace, span),
        "model": _model(span),
        "content": [(words, text(span.attributes[key])) for key, words in _CONTENT.items() if key in span.attributes],
        "attributes": _grouped({key: value for key, value in span.attributes.items() if key not in _CONTENT}),
        "events": [
            _event(span, *it) for it in sorted((event.time, number) for number, event in enumerate(span.events))
        ],
        "links": [end.to_json() for end in ends],
        "logs": log_lines(logs, span.start_time),
        "resource": _pairs(span.resource.attributes),
        "scope": [pair for pair in (("name", span.scope.name), ("version", span.scope.version)) if pair[1]],
        "dropped": _dropped(span),
    }


def _timing(trace: Trace, span: SpanData) -> Pairs:
    return [
        ("Duration", duration(span.duration)),
        ("Started after", duration((span.start_time - trace.start_time) / 1e9)),
        ("Self time", duration(self_time(trace, span).seconds)),
    ]


def _model(span: SpanData) -> Pairs:
    if span.model is None:
        return []
    found = [
        (words, span.attributes.get(key, span.attributes.get(_FOREIGN.get(key, key)))) for key, words in _MODEL.items()
    ]
    return [*((words, text(value)) for words, value in found if value is not None), *_phases(span, phases(span))]


def _phases(span: SpanData, parted: Phases) -> Pairs:
    found = []
    if parted.compute_start > parted.start:
        found.append(("Waited in the queue", duration((parted.compute_start - parted.start) / 1e9)))
    end = parted.end if parted.first_output is None else parted.first_output
    found.append(("Computed", duration((end - parted.compute_start) / 1e9)))
    if parted.first_output is not None:
        found.append(("First output after", duration((parted.first_output - parted.start) / 1e9)))
        found.append(("Streamed", duration((parted.end - parted.first_output) / 1e9)))
    consumer = span.attributes.get(names.CONSUMER_DURATION)
    if isinstance(consumer, (int, float)):
        found.append(("Consumer's own time", duration(consumer)))
    return found


def _grouped(attributes: Mapping[str, AttributeValue]) -> list[tuple[str, Pairs]]:
    """Group attributes by what their names begin with."""
    found: defaultdict[str, dict[str, AttributeValue]] = defaultdict(dict)
    for key, value in attributes.items():
        found[key.split(".", 1)[0] if "." in key else ""][key] = value
    return [(prefix, _pairs(group)) for prefix, group in sorted(found.items())]


def _pairs(attributes: Mapping[str, AttributeValue]) -> Pairs:
    return [(key, text(attributes[key])) for key in sorted(attributes)]


def _event(span: SpanData, time: int, number: int) -> dict[str, Any]:
    event = span.events[number]
    offset = duration((time - span.start_time) / 1e9) if time >= span.start_time else "before the start"
    return {"name": event.name, "offset": offset, "attributes": _pairs(event.attributes)}


def log_lines(logs: Iterable[LogRecord], since: int) -> list[dict[str, Any]]:
    """Return log records as plain JSON; moments are told from `since` on, in nanoseconds since the epoch."""
    return [
        {
            "offset": duration((log.time - since) / 1e9) if log.time >= since else "before the start",
            "severity": log.severity,
            "body": log.body,
            "service": log.service,
            "span": span_id(log.span_id) if log.span_id else "",
            "attributes": _pairs(log.attributes),
        }
        for log in logs
    ]


def _dropped(span: SpanData) -> Pairs:
    counts = (
        ("attributes", span.dropped_attributes),
        ("events", span.dropped_events),
        ("links", span.dropped_links),
    )
    return [(what, str(number)) for what, number in counts if number]


def text(value: AttributeValue) -> str:
    """Write a value of an attribute as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.hex(" ")
    return json.dumps(value, ensure_ascii=False, default=text)
