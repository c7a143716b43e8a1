"""A finished span as the JSON text that the SDK's console exporter prints."""

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from opentelemetry.trace import SpanContext, format_span_id, format_trace_id


def span_to_json(span: Any, indent: int | None) -> str:
    """Return `span`, anything with the properties of a finished span, as JSON."""
    status = {"status_code": span.status.status_code.name}
    if span.status.description:
        status["description"] = span.status.description
    told = {
        "name": span.name,
        "context": _context(span.context),
        "kind": str(span.kind),
        "parent_id": None if span.parent is None else f"0x{format_span_id(span.parent.span_id)}",
        "start_time": _time(span.start_time),
        "end_time": _time(span.end_time),
        "status": status,
        "attributes": dict(span.attributes),
        "events": [_event(event) for event in span.events],
        "links": [{"context": _context(link.context), "attributes": dict(link.attributes)} for link in span.links],
        "resource": {"attributes": dict(span.resource.attributes), "schema_url": span.resource.schema_url},
    }
    return json.dumps(told, indent=indent, default=_other)


def _context(context: SpanContext) -> dict[str, str]:
    return {
        "trace_id": f"0x{format_trace_id(context.trace_id)}",
        "span_id": f"0x{format_span_id(context.span_id)}",
        "trace_state": repr(context.trace_state),
    }


def _event(event: Any) -> dict[str, Any]:
    return {"name": event.name, "timestamp": _time(event.timestamp), "attributes": dict(event.attributes)}


def _time(nanoseconds: int | None) -> str | None:
    if not nanoseconds:
        return None
    return datetime.fromtimestamp(nanoseconds / 1e9, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _other(value: object) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    return dict(value) if isinstance(value, Mapping) else str(value)
