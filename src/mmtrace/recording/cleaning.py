"""Attributes made into what OTLP can say: exact plain values, tuples, and dicts with text keys."""

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from types import NoneType
from typing import Any, Final

from opentelemetry.trace import SpanKind

from mmtrace.recording.guard import report
from mmtrace.spans import AttributeValue

PLAIN: Final[frozenset[type]] = frozenset({str, bool, int, float, bytes, NoneType})
"""Types whose values are stored as they are."""

PLAIN_BOUNDED: Final[frozenset[type]] = PLAIN - {str}
"""The same where texts have a limit."""

_DEPTH: Final = 32
"""How deep values may nest; deeper ones, and those that contain themselves, become None."""


def plain_types(max_length: int | None) -> frozenset[type]:
    """Return the types that need no cleaning where texts may have `max_length` characters."""
    return PLAIN if max_length is None else PLAIN_BOUNDED


def clean_value(value: object, max_length: int | None = None) -> AttributeValue:
    """Return `value` as an attribute value that shares nothing mutable with the caller's.

    Sequences become tuples, mappings dicts, numbers of other makes (numpy's) Python's; what is left becomes its text,
    or None where it has no text of its own. Never raises.
    """
    try:
        return _clean(value, max_length, ())
    except Exception as error:
        report("attribute value", f"mmtrace: a {type(value).__name__} could not be read: {error!r}; left out", error)
        return None


def clean_key(key: object) -> str | None:
    """Return `key` as an exact str, None where it is no text or empty."""
    return str.__str__(key) if isinstance(key, str) and key else None


def clean_name(name: object) -> str:
    """Return `name` as text, empty where it has none. Never raises."""
    return name if type(name) is str else str(clean_value(name) or "")


def clean_kind(kind: object) -> SpanKind:
    """Return `kind`, INTERNAL where it is none. Never raises."""
    if isinstance(kind, SpanKind):
        return kind
    report("kind", f"mmtrace: a {type(kind).__name__} was given for a SpanKind; INTERNAL is used")
    return SpanKind.INTERNAL


def clean_time(time: object) -> int | None:
    """Return `time` in whole nanoseconds; None for None and for what is no number."""
    if time is None or type(time) is int:
        return time
    try:
        return int(time)  # type: ignore[call-overload, no-any-return]
    except (TypeError, ValueError, OverflowError) as error:
        report("time", f"mmtrace: a {type(time).__name__} is no time in nanoseconds; the clock's is used", error)
        return None


def items_of(attributes: object) -> Sequence[tuple[Any, Any]]:
    """Return the pairs of the mapping `attributes`, none where it is no mapping. Never raises."""
    if not attributes:
        return ()
    try:
        return tuple(attributes.items())  # type: ignore[attr-defined]
    except Exception as error:
        report("attributes", f"mmtrace: attributes must be a mapping, not {type(attributes).__name__}; left out", error)
        return ()


class SharedAttributes(dict[str, str]):
    """Texts that need no cleaning and that many spans start with: made once, and never changed.

    `wire` is what an encoder makes of them, once. `start`: those that they continue, by the one that is named `last`.
    """

    __slots__ = ("last", "names", "start", "wire")

    def __init__(self, texts: Mapping[str, str], start: "SharedAttributes | None" = None, last: str = "") -> None:
        super().__init__(texts)
        self.names: Final = frozenset(texts)
        self.start: Final = start
        self.last: Final = last
        self.wire: bytes | None = None

    def with_last(self, name: str, text: str) -> "SharedAttributes":
        """Return these attributes with one more, for `Span.share`."""
        return SharedAttributes({**self, name: text}, self, name)


NONE_SHARED: Final = SharedAttributes({})


def clean(attributes: object, limit: int | None = None, max_length: int | None = None) -> tuple[dict[str, Any], int]:
    """Return the cleaned `attributes` and how many were dropped: bad keys, and the oldest beyond `limit`."""
    if attributes is None:
        return {}, 0
    plain = plain_types(max_length)
    if type(attributes) is dict and _is_clean(attributes, plain) and (limit is None or len(attributes) <= limit):
        return attributes.copy(), 0
    items = items_of(attributes)
    kept: dict[str, Any] = {
        text: value if type(value) in plain else clean_value(value, max_length)
        for key, value in items
        if (text := clean_key(key)) is not None
    }
    if limit is not None:
        for key in list(kept)[: max(0, len(kept) - limit)]:
            del kept[key]
    return kept, len(items) - len(kept)


def _is_clean(attributes: dict[Any, Any], plain: frozenset[type]) -> bool:
    for key, value in attributes.items():  # noqa: SIM110  all() would cost a generator
        if type(value) not in plain or type(key) is not str or not key:
            return False
    return True


def _clean(value: object, max_length: int | None, path: tuple[int, ...]) -> AttributeValue:
    if isinstance(value, str):
        return str.__str__(value) if max_length is None else str.__str__(value[:max_length])
    if value is None or isinstance(value, (bool, bytes)):
        return value
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (Mapping, Sequence)):
        return _clean_nested(value, max_length, path)
    return _clean_other(value, max_length)


def _clean_nested(
    value: Mapping[Any, Any] | Sequence[Any], max_length: int | None, path: tuple[int, ...]
) -> AttributeValue:
    if len(path) >= _DEPTH or id(value) in path:
        return None
    path = (*path, id(value))
    if isinstance(value, Mapping):
        return {text: _clean(item, max_length, path) for key, item in value.items() if (text := _text(key))}
    return tuple(_clean(item, max_length, path) for item in value)


def _clean_other(value: object, max_length: int | None) -> AttributeValue:
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    text = _text(value)
    return text if text is None else text[:max_length]


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return str.__str__(value)
    kind = type(value)
    if kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__:
        return None
    return str(value)
