"""A finished span as wire bytes, made where the span ends; needs no protobuf library.

Encodes our spans from what they hold, and any object with the surface of the SDK's ReadableSpan. Unlike the stock
encoder it keeps the trace state of links and the W3C trace flags of spans and links.
Source: opentelemetry/proto/trace/v1/trace.proto, 1.x.
"""

import struct
from typing import Any, Final

from opentelemetry.trace import DEFAULT_TRACE_STATE, SpanKind, StatusCode

from mmtrace.otlp.frames import Frame, frame_of
from mmtrace.otlp.values import Keys, append_attributes, attributes_field
from mmtrace.otlp.wire import VARINTS, field, number_field, text, text_field

__all__ = ["Frame", "encode_span", "frame_of"]

_SPAN_KEYS: Final = Keys(b"\x4a")
_EVENT_KEYS: Final = Keys(b"\x1a")
_LINK_KEYS: Final = Keys(b"\x22")
_NAMES_KEPT: Final = 1024
_STATUSES_KEPT: Final = 16
_UNSIGNED: Final = (1 << 64) - 1

_IS_REMOTE_KNOWN: Final = 0x100
_IS_REMOTE: Final = 0x200

_KINDS: Final = tuple(bytes((0x30, kind.value + 1, 0x39)) for kind in SpanKind)
"""The kind of a span, and the tag of the field that follows: the time of its start."""
_pack_kind_and_times: Final = struct.Struct("<3sQBQ").pack
_pack_fixed64: Final = struct.Struct("<Q").pack
_pack_fixed32: Final = struct.Struct("<I").pack


class _Names(dict[str, bytes]):
    """The field of each span's name."""

    __slots__ = ()

    def __missing__(self, name: str) -> bytes:
        if len(self) >= _NAMES_KEPT:
            self.clear()
        data = self[name] = field(b"\x2a", text(str(name)))
        return data


class _Statuses(dict[Any, bytes]):
    """The field of each status; one that says nothing is kept, recorders share it."""

    __slots__ = ()

    def __missing__(self, status: Any) -> bytes:
        if status is None:
            return b""
        code, message = status.status_code, status.description
        if code is StatusCode.UNSET and not message:
            if len(self) < _STATUSES_KEPT:
                self[status] = b"\x7a\x00"
            return b"\x7a\x00"
        return field(b"\x7a", text_field(b"\x12", message) + number_field(b"\x18", code._value_))


class _Flags(dict[int, bytes]):
    """The field of flags by W3C trace flags; `remote` are the bits that say whether a context came from elsewhere."""

    __slots__ = ("_remote", "_tag")

    def __init__(self, tag: bytes, remote: int) -> None:
        self._tag = tag
        self._remote = remote

    def __missing__(self, flags: int) -> bytes:
        data = self[flags & 0xFF] = self._tag + _pack_fixed32(flags & 0xFF | self._remote)
        return data


_names: Final = _Names()
_statuses: Final = _Statuses()
_local_flags: Final = _Flags(b"\x85\x01", _IS_REMOTE_KNOWN)
_remote_flags: Final = _Flags(b"\x85\x01", _IS_REMOTE_KNOWN | _IS_REMOTE)
_link_flags: Final = (_Flags(b"\x35", _IS_REMOTE_KNOWN), _Flags(b"\x35", _IS_REMOTE_KNOWN | _IS_REMOTE))


def encode_span(span: Any) -> bytes:
    """Return a finished span as the field `spans` of ScopeSpans: tag, length and Span message.

    `span` is ours, or has the surface of the SDK's ReadableSpan. No attribute value makes it raise: Unicode that is not
    valid is repaired, and a value that OTLP does not know is left out.
    """
    try:
        shared = span.shared_attributes
    except AttributeError:
        span = _Readable(span)
        shared = span.shared_attributes
    context, parent = span.context, span.parent
    try:
        kind_and_times = _pack_kind_and_times(_KINDS[span.kind._value_], span.start_time, 0x41, span.end_time)
    except struct.error:
        kind_and_times = _nearest_times(span)
    parts = [
        b"\x0a\x10",
        context[0].to_bytes(16, "big"),
        b"\x12\x08",
        context[1].to_bytes(8, "big"),
        _names[span.name],
        kind_and_times,
        _statuses[span.status],
        (_local_flags if parent is None or not parent[2] else _remote_flags)[context[3]],
    ]
    append = parts.append
    if parent is not None:
        append(b"\x22\x08" + parent[1].to_bytes(8, "big"))
    if context[4] is not DEFAULT_TRACE_STATE:
        append(_trace_state(context[4]))
    attributes = span.own_attributes
    if shared:
        if shared.names.isdisjoint(attributes):
            append(shared.wire or _wire(shared))
        else:
            attributes = {**shared, **attributes}
    if attributes:
        append_attributes(append, _SPAN_KEYS, attributes)
    if span.own_events or span.own_links or span.dropped_attributes or span.dropped_events or span.dropped_links:
        append(_events_and_links(span))
    body = b"".join(parts)
    return b"\x12" + VARINTS[len(body)] + body


def _wire(shared: Any) -> bytes:
    """Return the fields of attributes that many spans share, which are made once."""
    data: bytes = attributes_field(_SPAN_KEYS, shared)
    shared.wire = data
    return data


class _Readable:
    """What `encode_span` reads of a span, for a span of another make."""

    shared_attributes: Final[dict[str, Any]] = {}

    def __init__(self, span: Any) -> None:
        context, parent = span.get_span_context(), span.parent
        self.context = _fields(context)
        self.parent = None if parent is None else _fields(parent)
        self.name = span.name
        self.kind = span.kind
        self.start_time, self.end_time = span.start_time, span.end_time
        self.own_attributes, self.own_events, self.own_links = span.attributes, span.events, span.links
        self.dropped_attributes = span.dropped_attributes
        self.dropped_events, self.dropped_links = span.dropped_events, span.dropped_links
        self.status = span.status


def _fields(context: Any) -> tuple[int, int, bool, int, Any, bool]:
    return context.trace_id, context.span_id, context.is_remote, context.trace_flags, context.trace_state, True


def _trace_state(state: Any) -> bytes:
    if not state:
        return b""
    return text_field(b"\x1a", ",".join([f"{key}={value}" for key, value in state.items()]))


def _nearest_times(span: Any) -> bytes:
    start, end = _time(span.start_time), _time(span.end_time)
    return _pack_kind_and_times(_KINDS[span.kind._value_], start, 0x41, end)


def _time(value: Any) -> int:
    """Return a time as the wire can hold it: a missing or negative one is 0."""
    return min(max(0, int(value or 0)), _UNSIGNED)


def _event(event: Any) -> bytes:
    body = b"".join(
        (
            b"\x09",
            _pack_fixed64(_time(event.timestamp)),
            text_field(b"\x12", event.name),
            attributes_field(_EVENT_KEYS, event.attributes),
            number_field(b"\x20", event.dropped_attributes),
        )
    )
    return field(b"\x5a", body)


def _link(link: Any) -> bytes:
    trace_id, span_id, remote, flags, state, _ = _fields(link.context)
    body = b"".join(
        (
            b"\x0a\x10",
            trace_id.to_bytes(16, "big"),
            b"\x12\x08",
            span_id.to_bytes(8, "big"),
            _trace_state(state),
            attributes_field(_LINK_KEYS, link.attributes),
            number_field(b"\x28", link.dropped_attributes),
            _link_flags[remote][flags],
        )
    )
    return field(b"\x6a", body)


def _events_and_links(span: Any) -> bytes:
    """Return what most spans have none of: events, links, and how many of anything were dropped."""
    parts = [_event(event) for event in span.own_events or ()]
    parts += [_link(link) for link in span.own_links or ()]
    parts.append(number_field(b"\x50", span.dropped_attributes))
    parts.append(number_field(b"\x60", span.dropped_events))
    parts.append(number_field(b"\x70", span.dropped_links))
    return b"".join(parts)
