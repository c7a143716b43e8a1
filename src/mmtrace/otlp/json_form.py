"""OTLP's JSON form: protobuf's own JSON mapping, except that ids are hexadecimal.

Source: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding.
"""

import base64
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from mmtrace.errors import DecodeError, TooLarge
from mmtrace.otlp.wire import text
from mmtrace.spans import AttributeValue, Event, Link, Resource, Scope, SpanData

Json: TypeAlias = dict[str, Any]

_IDS: Final = ("traceId", "trace_id", "spanId", "span_id", "parentSpanId", "parent_span_id")
_MAX_DEPTH: Final = 100


def refuse_over(max_bytes: int | None, body: bytes | str) -> None:
    """Raise TooLarge where `body` is longer than `max_bytes`."""
    if max_bytes is not None and len(body) > max_bytes:
        raise TooLarge(f"a body of {len(body)} bytes is over the limit of {max_bytes}")


def parse_json(body: bytes | str, *, max_bytes: int | None = None) -> ExportTraceServiceRequest:
    """Return the request that OTLP-JSON holds; names in camel or snake case, unknown ones ignored.

    Raises DecodeError for what is not OTLP-JSON, TooLarge over `max_bytes` or where values are nested too deep.
    """
    refuse_over(max_bytes, body)
    try:
        tree = _load(body)
        for holder in _id_holders(tree):
            _ids_to_base64(holder)
        return _message(tree)
    except RecursionError as error:
        raise TooLarge("values are nested too deep") from error
    except DecodeError:
        raise
    except ValueError as error:
        raise DecodeError(f"not OTLP-JSON: {error}") from error


def _load(body: bytes | str) -> Json:
    content = body if isinstance(body, str) else body.decode()
    tree = json.loads(content)
    if "\\ud" in content or "\\uD" in content:  # perhaps half a pair of surrogates, which protobuf refuses
        tree = json.loads(text(json.dumps(tree, ensure_ascii=False)))
    if not isinstance(tree, dict):
        raise DecodeError("not OTLP-JSON: an object is expected")
    return tree


def _message(tree: Json) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    try:
        json_format.ParseDict(tree, request, ignore_unknown_fields=True, max_recursion_depth=_MAX_DEPTH)
    except json_format.ParseError as error:
        if "too deep" in str(error):
            raise TooLarge(f"values are nested too deep: {error}") from error
        raise DecodeError(f"not OTLP-JSON: {error}") from error
    return request


def _id_holders(tree: Json) -> Iterator[Json]:
    """Yield every object that may hold ids: spans and their links."""
    for resource_spans in _objects(tree, "resourceSpans", "resource_spans"):
        for scope_spans in _objects(resource_spans, "scopeSpans", "scope_spans"):
            for span in _objects(scope_spans, "spans"):
                yield span
                yield from _objects(span, "links")


def _objects(parent: Json, *keys: str) -> Iterator[Json]:
    for key in keys:
        children = parent.get(key)
        if isinstance(children, list):
            yield from (child for child in children if isinstance(child, dict))


def _ids_to_base64(holder: Json) -> None:
    for key in _IDS:
        value = holder.get(key)
        if isinstance(value, str):
            holder[key] = base64.b64encode(bytes.fromhex(value)).decode()


def to_json(spans: Iterable[SpanData]) -> Json:
    """Return TracesData in OTLP-JSON, as `json.dumps` takes it; spans of equal resources and scopes are gathered."""
    kept = list(spans)
    groups: dict[str, Json] = {}
    places: dict[tuple[int, int], list[Json]] = {}
    for span in kept:
        origin = id(span.resource), id(span.scope)
        if origin not in places:
            places[origin] = _place(groups, span.resource, span.scope)
        places[origin].append(_span(span))
    return {"resourceSpans": [_without_keys(group) for group in groups.values()]}


def _place(groups: dict[str, Json], resource: Resource, scope: Scope) -> list[Json]:
    """Return the list that takes the spans of this resource and scope."""
    outer = {"resource": _some(attributes=_pairs(resource.attributes)), **_some(schemaUrl=resource.schema_url)}
    inner = {"scope": _scope(scope), **_some(schemaUrl=scope.schema_url)}
    group = groups.setdefault(json.dumps(outer), {**outer, "scopeSpans": {}})
    spans: list[Json] = group["scopeSpans"].setdefault(json.dumps(inner), {**inner, "spans": []})["spans"]
    return spans


def _without_keys(group: Json) -> Json:
    return {**group, "scopeSpans": list(group["scopeSpans"].values())}


def _some(**fields: Any) -> Json:
    """Return the fields that are not empty, as protobuf's JSON leaves out defaults."""
    return {key: value for key, value in fields.items() if value}


def _scope(scope: Scope) -> Json:
    return _some(name=scope.name, version=scope.version, attributes=_pairs(scope.attributes))


def _span(span: SpanData) -> Json:
    return {
        "traceId": f"{span.trace_id:032x}",
        "spanId": f"{span.span_id:016x}",
        "status": _some(message=span.status_message, code=span.status.value),
        **_some(
            traceState=span.trace_state,
            parentSpanId=f"{span.parent_span_id:016x}" if span.parent_span_id else "",
            flags=span.flags,
            name=span.name,
            kind=span.kind.value + 1,
            startTimeUnixNano=_whole(span.start_time),
            endTimeUnixNano=_whole(span.end_time),
            attributes=_pairs(span.attributes),
            droppedAttributesCount=span.dropped_attributes,
            events=[_event(event) for event in span.events],
            droppedEventsCount=span.dropped_events,
            links=[_link(link) for link in span.links],
            droppedLinksCount=span.dropped_links,
        ),
    }


def _event(event: Event) -> Json:
    return _some(
        timeUnixNano=_whole(event.time),
        name=event.name,
        attributes=_pairs(event.attributes),
        droppedAttributesCount=event.dropped_attributes,
    )


def _link(link: Link) -> Json:
    return {
        "traceId": f"{link.trace_id:032x}",
        "spanId": f"{link.span_id:016x}",
        **_some(
            traceState=link.trace_state,
            attributes=_pairs(link.attributes),
            droppedAttributesCount=link.dropped_attributes,
            flags=link.flags,
        ),
    }


def _whole(number: int) -> str:
    return str(number) if number else ""


def _pairs(attributes: Mapping[str, AttributeValue]) -> list[Json]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: AttributeValue) -> Json:
    if value is None:
        return {}
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value if math.isfinite(value) else _NOT_FINITE[repr(value)]}
    return _container(value)


_NOT_FINITE: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def _container(value: bytes | Sequence[AttributeValue] | Mapping[str, AttributeValue]) -> Json:
    if isinstance(value, bytes):
        return {"bytesValue": base64.b64encode(value).decode()}
    if isinstance(value, Mapping):
        return {"kvlistValue": _some(values=_pairs(value))}
    return {"arrayValue": _some(values=[_value(item) for item in value])}
