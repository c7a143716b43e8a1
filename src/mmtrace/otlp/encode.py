"""A finished span as wire bytes, made where the span ends; needs no protobuf library.

Encodes any object with the surface of the SDK's ReadableSpan. Unlike the stock encoder it keeps the trace state of
links and the W3C trace flags of spans and links. Source: opentelemetry/proto/trace/v1/trace.proto, 1.x.
"""

import struct
from typing import Any, Final

from opentelemetry.trace import SpanContext, StatusCode

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

_pack_kind_and_times: Final = struct.Struct("<BBBQBQ").pack
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
_span_flags: Final = (_Flags(b"\x85\x01", _IS_REMOTE_KNOWN), _Flags(b"\x85\x01", _IS_REMOTE_KNOWN | _IS_REMOTE))
_link_flags: Final = (_Flags(b"\x35", _IS_REMOTE_KNOWN), _Flags(b"\x35", _IS_REMOTE_KNOWN | _IS_REMOTE))


def encode_span(span: Any) -> bytes:
    """Return a finished span as the field `spans` of ScopeSpans: tag, length and Span message.

    `span` has the surface of the SDK's ReadableSpan. No attribute value makes it raise: Unicode that is not valid is
    repaired, and a value that OTLP does not know is left out.
    """
    context = span.get_span_context()
    trace_id, span_id, _, flags, state, _ = context if type(context) is SpanContext else _fields(context)
    parts = [b"\x0a\x10", trace_id.to_bytes(16, "big"), b"\x12\x08", span_id.to_bytes(8, "big")]
    append = parts.append
    if state:
        append(_trace_state(state))
    remote = False
    parent = span.parent
    if parent is not None:
        _, parent_id, remote, _, _, _ = parent if type(parent) is SpanContext else _fields(parent)
        append(b"\x22\x08" + parent_id.to_bytes(8, "big"))
    append(_names[span.name])
    try:
        append(_pack_kind_and_times(0x30, span.kind._value_ + 1, 0x39, span.start_time, 0x41, span.end_time))
    except struct.error:
        append(_nearest_times(span))
    attributes = span.attributes
    if attributes:
        append_attributes(append, _SPAN_KEYS, attributes)
    if events := span.events:
        parts.extend([_event(event) for event in events])
    if links := span.links:
        parts.extend([_link(link) for link in links])
    if span.dropped_attributes or span.dropped_events or span.dropped_links:
        append(_dropped(span))
    append(_statuses[span.status])
    append(_span_flags[remote][flags])
    body = b"".join(parts)
    return b"\x12" + VARINTS[len(body)] + body


def _fields(context: Any) -> tuple[int, int, bool, int, Any, bool]:
    return context.trace_id, context.span_id, context.is_remote, context.trace_flags, context.trace_state, True


def _trace_state(state: Any) -> bytes:
    return text_field(b"\x1a", ",".join([f"{key}={value}" for key, value in state.items()]))


def _nearest_times(span: Any) -> bytes:
    start, end = _time(span.start_time), _time(span.end_time)
    return _pack_kind_and_times(0x30, span.kind._value_ + 1, 0x39, start, 0x41, end)


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
            _trace_state(state) if state else b"",
            attributes_field(_LINK_KEYS, link.attributes),
            number_field(b"\x28", link.dropped_attributes),
            _link_flags[remote][flags],
        )
    )
    return field(b"\x6a", body)


def _dropped(span: Any) -> bytes:
    return (
        number_field(b"\x50", span.dropped_attributes)
        + number_field(b"\x60", span.dropped_events)
        + number_field(b"\x70", span.dropped_links)
    )
