"""Attributes as OTLP's repeated KeyValue, with the bytes of what is seen again and again kept per key.

Values follow the stock encoder: None, bool, str, int, float, bytes, sequences and mappings, in this order; a value of
any other type is left out. An integer beyond 64 bits, which stock leaves out, becomes its decimal text.
Source: https://opentelemetry.io/docs/specs/otel/common/#mapping-arbitrary-data-to-otlp-anyvalue.
"""

from collections.abc import Callable, Mapping, Sequence
from struct import Struct
from typing import Any, Final

from mmtrace.otlp.wire import VARINTS, field, text

_LONGEST_KEPT: Final = 64
_VALUES_KEPT: Final = 128
_LENGTHS_KEPT: Final = 1024
_KEYS_KEPT: Final = 512

MAX_DEPTH: Final = 30
"""How deep containers are encoded; below, values are null. Parsers stop at 100 messages, and each map takes three."""
_MAX_CONTAINERS: Final = 10_000

_INT64_MIN: Final = -(1 << 63)
_INT64_MAX: Final = (1 << 63) - 1

_pack_double: Final = Struct("<d").pack


class Key:
    """One attribute key in one kind of message: whole KeyValue fields by value, or all that precedes a value."""

    __slots__ = ("_field", "_tag", "double", "false", "ints", "text_heads", "texts", "true")

    def __init__(self, tag: bytes, name: str) -> None:
        self._tag = tag
        self._field = field(b"\x0a", text(name))
        self.true = self.head(2) + b"\x10\x01"
        self.false = self.head(2) + b"\x10\x00"
        self.double = self.head(9) + b"\x21"
        self.text_heads = _TextHeads(self)
        self.texts = _Texts(self.text_heads)
        self.ints = _Ints(self)

    def head(self, length: int) -> bytes:
        """Return all that precedes an AnyValue of `length` bytes."""
        value = b"\x12" + VARINTS[length]
        return self._tag + VARINTS[len(self._field) + len(value) + length] + self._field + value

    def holding(self, value: bytes) -> bytes:
        """Return the KeyValue field whose AnyValue is `value`."""
        return self.head(len(value)) + value


class _TextHeads(dict[int, bytes]):
    """All that precedes a text, by its length in bytes."""

    __slots__ = ("_key",)

    def __init__(self, key: Key) -> None:
        self._key = key

    def __missing__(self, length: int) -> bytes:
        start = b"\x0a" + VARINTS[length]
        data = self._key.head(len(start) + length) + start
        if len(self) < _LENGTHS_KEPT:
            self[length] = data
        return data


class _Texts(dict[str, bytes]):
    """Whole fields by short text; a key that sees many different ones keeps the first."""

    __slots__ = ("_heads",)

    def __init__(self, heads: _TextHeads) -> None:
        self._heads = heads

    def __missing__(self, value: str) -> bytes:
        content = text(value)
        data = self._heads[len(content)] + content
        if len(self) < _VALUES_KEPT:
            self[value] = data
        return data


class _Ints(dict[int, bytes]):
    """Whole fields by integer; a key that sees many different ones keeps the first."""

    __slots__ = ("_heads", "_key")

    def __init__(self, key: Key) -> None:
        self._key = key
        self._heads = [b"", *[key.head(1 + length) + b"\x18" for length in range(1, 11)]]

    def __missing__(self, value: int) -> bytes:
        if not _INT64_MIN <= value <= _INT64_MAX:
            return self._key.holding(_int_value(value))
        content = VARINTS[value]
        data = self._heads[len(content)] + content
        if len(self) < _VALUES_KEPT:
            self[value] = data
        return data


class Keys(dict[str, Key]):
    """The keys of one repeated field of KeyValue, by name."""

    __slots__ = ("_tag",)

    def __init__(self, tag: bytes) -> None:
        self._tag = tag

    def __missing__(self, name: str) -> Key:
        if not isinstance(name, str):
            raise TypeError(f"the key of an attribute is a string, not {name!r}")
        if len(self) >= _KEYS_KEPT:
            self.clear()
        key = self[str(name)] = Key(self._tag, name)
        return key


def append_attributes(append: Callable[[bytes], object], keys: Keys, attributes: Mapping[str, Any]) -> None:
    """Append the KeyValue field of every attribute; one that cannot be encoded is left out."""
    for name, value in attributes.items():
        try:
            kind = type(value)
            if kind is int:  # first: the texts of most spans are shared
                append(keys[name].ints[value])
            elif kind is str:
                if len(value) <= _LONGEST_KEPT:
                    append(keys[name].texts[value])
                else:
                    data = text(value)
                    append(keys[name].text_heads[len(data)] + data)
            elif kind is float:
                append(keys[name].double + _pack_double(value))
            elif kind is bool:
                append(keys[name].true if value else keys[name].false)
            else:
                append(keys[name].holding(any_value(value)))
        except Exception:  # noqa: PERF203, S112 - a value that cannot be encoded leaves out itself only
            continue


def attributes_field(keys: Keys, attributes: Mapping[str, Any] | None) -> bytes:
    """Return the KeyValue fields of all attributes."""
    parts: list[bytes] = []
    if attributes:
        append_attributes(parts.append, keys, attributes)
    return b"".join(parts)


def any_value(value: object) -> bytes:
    """Return the AnyValue of any value. Raises TypeError for a type that OTLP does not know."""
    scalar = _scalar(value)
    return _Nested().container(value, 1) if scalar is None else scalar


def _int_value(value: int) -> bytes:
    if _INT64_MIN <= value <= _INT64_MAX:
        return b"\x18" + VARINTS[value]
    return field(b"\x0a", _digits(value).encode())


def _digits(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # more digits than the interpreter writes in decimal
        return hex(value)


def _scalar(value: object) -> bytes | None:
    if value is None:
        return b""
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, str):
        return field(b"\x0a", text(value))
    if isinstance(value, int):
        return _int_value(int(value))
    if isinstance(value, float):
        return b"\x21" + _pack_double(value)
    if isinstance(value, bytes):
        return field(b"\x3a", value)
    return None


class _Nested:
    """Encodes one value that holds others; counts containers, so that shared or cyclic ones come to an end."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = _MAX_CONTAINERS

    def container(self, value: object, depth: int) -> bytes:
        self._left -= 1
        if depth > MAX_DEPTH or self._left < 0:
            return b""
        if isinstance(value, Sequence):
            return field(b"\x2a", b"".join([field(b"\x0a", self._value(item, depth)) for item in value]))
        if isinstance(value, Mapping):
            return field(b"\x32", b"".join([self._pair(key, item, depth) for key, item in value.items()]))
        raise TypeError(f"OTLP has no value of type {type(value).__name__}")

    def _value(self, value: object, depth: int) -> bytes:
        scalar = _scalar(value)
        return self.container(value, depth + 1) if scalar is None else scalar

    def _pair(self, key: object, value: object, depth: int) -> bytes:
        return field(b"\x0a", field(b"\x0a", text(str(key))) + field(b"\x12", self._value(value, depth)))
