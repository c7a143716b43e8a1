"""Dividing an encoded request, for a receiver to which it is too large.

Traces, logs and metrics are alike: a request lists resources, a resource lists scopes, and a scope lists items, each
list in a field of a number of its own. Source: opentelemetry/proto/collector/*/v1/*_service.proto.
"""

from collections.abc import Sequence
from typing import Final

from mmtrace.otlp.wire import VARINTS, read_varint

_LISTS: Final = (1, 2, 2)
"""The numbers of the fields that list resources, scopes and items."""


def halves(request: bytes) -> tuple[tuple[int, bytes], tuple[int, bytes]] | None:
    """Return two requests, each with its count of items, that hold the items of `request` in order.

    None where it has fewer than two, or is no such request.
    """
    try:
        return _halves(request, 0)
    except (ValueError, IndexError):
        return None


def _halves(message: bytes, level: int) -> tuple[tuple[int, bytes], tuple[int, bytes]] | None:
    listed = [part for part in _parts(message) if part[0] == _LISTS[level]]
    others = b"".join(part[1] for part in _parts(message) if part[0] != _LISTS[level])
    if len(listed) > 1:
        middle = len(listed) // 2
        first, second = _joined(listed[:middle], others), _joined(listed[middle:], others)
        return (_count(first, level), first), (_count(second, level), second)
    if not listed or level == len(_LISTS) - 1:
        return None
    inner = _halves(listed[0][2], level + 1)
    if inner is None:
        return None
    tag = bytes([_LISTS[level] << 3 | 2])
    (first_count, first), (second_count, second) = inner
    return (
        (first_count, tag + VARINTS[len(first)] + first + others),
        (second_count, tag + VARINTS[len(second)] + second + others),
    )


def _joined(parts: Sequence[tuple[int, bytes, bytes]], others: bytes) -> bytes:
    return b"".join(part[1] for part in parts) + others


def _count(message: bytes, level: int) -> int:
    listed = [part for part in _parts(message) if part[0] == _LISTS[level]]
    return len(listed) if level == len(_LISTS) - 1 else sum(_count(part[2], level + 1) for part in listed)


def _parts(message: bytes) -> list[tuple[int, bytes, bytes]]:
    """Return number, whole field and content of each field; all fields of these messages have a length."""
    parts: list[tuple[int, bytes, bytes]] = []
    start = 0
    while start < len(message):
        tag, position = read_varint(message, start)
        if tag & 7 != 2:
            raise ValueError("a field without a length")
        length, position = read_varint(message, position)
        end = position + length
        if end > len(message):
            raise ValueError("a field that breaks off")
        parts.append((tag >> 3, message[start:end], message[position:end]))
        start = end
    return parts
