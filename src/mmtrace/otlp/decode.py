"""OTLP bytes or OTLP-JSON to `SpanData`: the one border where foreign spans come in, and old names become new ones.

Sources: opentelemetry/proto/trace/v1/trace.proto 1.x; https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from google.protobuf.message import DecodeError as ProtobufError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.trace import SpanKind, StatusCode

from mmtrace.errors import DecodeError, TooLarge
from mmtrace.otlp.json_form import parse_json, refuse_over, to_json
from mmtrace.otlp.renames import renamed
from mmtrace.spans import AttributeValue, Event, Link, Resource, Scope, SpanData

__all__ = [
    "attributes_of",
    "decode_span",
    "decode_traces",
    "decode_traces_json",
    "has_valid_ids",
    "parse",
    "parse_json",
    "resource_of",
    "scope_of",
    "span_of",
    "spans_of",
    "to_json",
    "value_of",
]

_KINDS: Final = {kind.value + 1: kind for kind in SpanKind}
_STATUS: Final = {code.value: code for code in StatusCode}


def parse(body: bytes, *, max_bytes: int | None = None) -> ExportTraceServiceRequest:
    """Return the request that `body` holds (TracesData has the same bytes).

    Raises DecodeError for damaged bytes, TooLarge over `max_bytes`; values that nest too deep are TooLarge where the
    installed parser tells.
    """
    refuse_over(max_bytes, body)
    try:
        return ExportTraceServiceRequest.FromString(body)
    except ProtobufError as error:
        raise _decode_error(error) from error


def _decode_error(error: Exception) -> DecodeError:
    if "Depth" in str(error) or "recursion" in str(error):
        return TooLarge(f"values are nested too deep: {error}")
    return DecodeError(f"not an OTLP protobuf message: {error}")


def has_valid_ids(span: Span) -> bool:
    """Whether the ids of a span have the right length and are not zero."""
    return len(span.trace_id) == 16 and len(span.span_id) == 8 and any(span.trace_id) and any(span.span_id)


def decode_traces(body: bytes) -> list[SpanData]:
    """Return the spans of an ExportTraceServiceRequest or TracesData, in their order.

    Raises DecodeError for damaged bytes, ids that are none and values that are nested too deep.
    """
    return spans_of(parse(body))


def decode_traces_json(body: bytes | str) -> list[SpanData]:
    """Return the spans of OTLP-JSON, in their order. Raises as `decode_traces` does."""
    return spans_of(parse_json(body))


def spans_of(request: ExportTraceServiceRequest) -> list[SpanData]:
    """Return the spans of a parsed request, in their order. Raises DecodeError for ids that are none."""
    found: list[SpanData] = []
    for resource_spans in request.resource_spans:
        resource = resource_of(resource_spans.resource, resource_spans.schema_url)
        for scope_spans in resource_spans.scope_spans:
            scope = scope_of(scope_spans.scope, scope_spans.schema_url)
            found.extend([span_of(span, resource, scope) for span in scope_spans.spans])
    return found


def decode_span(data: bytes, resource: Resource, scope: Scope) -> SpanData:
    """Return the span that a serialized Span message holds. Raises DecodeError."""
    try:
        message = Span.FromString(data)
    except ProtobufError as error:
        raise _decode_error(error) from error
    return span_of(message, resource, scope)


def resource_of(message: ResourceMessage, schema_url: str = "") -> Resource:
    """Return the resource that a message holds."""
    return Resource(attributes_of(message.attributes), schema_url)


def scope_of(message: InstrumentationScope, schema_url: str = "") -> Scope:
    """Return the instrumentation scope that a message holds."""
    return Scope(message.name, message.version, attributes_of(message.attributes), schema_url)


def span_of(message: Span, resource: Resource, scope: Scope) -> SpanData:
    """Return the span that a message holds, under its new attribute names. Raises DecodeError for ids that are none."""
    if not has_valid_ids(message):
        raise DecodeError(f"span {message.name!r} has no valid ids: {message.trace_id.hex()}/{message.span_id.hex()}")
    kind = _KINDS.get(message.kind, SpanKind.INTERNAL)
    return SpanData(
        trace_id=int.from_bytes(message.trace_id, "big"),
        span_id=int.from_bytes(message.span_id, "big"),
        name=message.name,
        start_time=message.start_time_unix_nano,
        end_time=message.end_time_unix_nano,
        parent_span_id=int.from_bytes(message.parent_span_id, "big") or None,
        kind=kind,
        attributes=renamed(attributes_of(message.attributes), kind),
        events=tuple([_event(event) for event in message.events]),
        links=tuple([_link(link) for link in message.links]),
        status=_STATUS.get(message.status.code, StatusCode.UNSET),
        status_message=message.status.message,
        trace_state=message.trace_state,
        flags=message.flags,
        resource=resource,
        scope=scope,
        dropped_attributes=message.dropped_attributes_count,
        dropped_events=message.dropped_events_count,
        dropped_links=message.dropped_links_count,
    )


def _event(message: Span.Event) -> Event:
    return Event(
        name=message.name,
        time=message.time_unix_nano,
        attributes=attributes_of(message.attributes),
        dropped_attributes=message.dropped_attributes_count,
    )


def _link(message: Span.Link) -> Link:
    return Link(
        trace_id=int.from_bytes(message.trace_id, "big"),
        span_id=int.from_bytes(message.span_id, "big"),
        attributes=attributes_of(message.attributes),
        trace_state=message.trace_state,
        flags=message.flags,
        dropped_attributes=message.dropped_attributes_count,
    )


def attributes_of(pairs: Sequence[KeyValue]) -> dict[str, AttributeValue]:
    """Return attributes as a mapping; arrays become tuples."""
    return {pair.key: value_of(pair.value) for pair in pairs}


def value_of(message: AnyValue) -> AttributeValue:
    """Return what an AnyValue holds; None where it holds nothing, or a kind of value that is not known here."""
    kind = message.WhichOneof("value")
    read = _CONTAINERS.get(kind)
    if read is not None:
        return read(message)
    return getattr(message, kind) if kind in _SCALARS else None


_SCALARS: Final = frozenset({"string_value", "bool_value", "int_value", "double_value", "bytes_value"})
_CONTAINERS: Final[Mapping[Any, Callable[[AnyValue], AttributeValue]]] = {
    "array_value": lambda message: tuple([value_of(value) for value in message.array_value.values]),
    "kvlist_value": lambda message: attributes_of(message.kvlist_value.values),
}
