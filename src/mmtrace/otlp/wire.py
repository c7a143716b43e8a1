"""The wire format of protocol buffers, as far as OTLP needs it: varints, text and fields with a length.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from typing import Final

_CACHED: Final = 1 << 14
_WORD: Final = (1 << 64) - 1


def _varint(number: int) -> bytes:
    number &= _WORD
    septets = bytearray()
    while number > 127:
        septets.append(number & 127 | 128)
        number >>= 7
    septets.append(number)
    return bytes(septets)


class _Varints(dict[int, bytes]):
    """Varints by number; those of up to two bytes are kept."""

    __slots__ = ()

    def __missing__(self, number: int) -> bytes:
        data = _varint(number)
        if 0 <= number < _CACHED:
            self[number] = data
        return data


VARINTS: Final = _Varints()
"""`VARINTS[number]` is the varint of any 64-bit integer; a negative one takes ten bytes, as two's complement does."""


def text(value: str) -> bytes:
    """Return `value` in UTF-8; pairs of surrogates are joined, a lone one becomes U+FFFD."""
    try:
        return str.encode(value)
    except UnicodeEncodeError:
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def field(tag: bytes, content: bytes) -> bytes:
    """Return a length-delimited field: tag, length and content."""
    return tag + VARINTS[len(content)] + content


def text_field(tag: bytes, value: str | None) -> bytes:
    """Return a field of text, nothing where the text is empty."""
    return field(tag, text(value)) if value else b""


def number_field(tag: bytes, value: int) -> bytes:
    """Return a field of a varint, nothing where it is zero."""
    return tag + VARINTS[value] if value else b""


def read_varint(message: bytes, position: int) -> tuple[int, int]:
    """Return the varint at `position`, and the position after it. Raises IndexError where it breaks off."""
    number = shift = 0
    while True:
        byte = message[position]
        number |= (byte & 127) << shift
        position += 1
        shift += 7
        if byte < 128:
            return number, position
