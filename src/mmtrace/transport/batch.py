"""What is sent in one request."""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final, TypeAlias

from mmtrace.transport.signals import Framing
from mmtrace.transport.tally import Once

Item: TypeAlias = tuple[Framing | None, bytes, int]
"""A payload with what frames it and how many spans, records or points it holds."""

_frame: Final = itemgetter(0)
_payload: Final = itemgetter(1)
_count: Final = itemgetter(2)


class Batch:
    """Items that are sent in one request; `claim` is the right to settle it.

    `numbers`: under which it is kept in `file` on disk, in order; one for each item where it was read from there.
    `in_memory`: whether it counts against the bound of what waits in memory.
    """

    __slots__ = ("claim", "count", "deadline", "file", "in_memory", "items", "numbers", "size")

    def __init__(self, items: list[Item], numbers: Sequence[int] = (), file: object = None) -> None:
        self.items = items
        self.count: int = sum(map(_count, items))
        self.size = sum(map(len, map(_payload, items)))
        self.numbers = numbers
        self.file = file
        self.in_memory = not numbers
        self.deadline: float | None = None
        self.claim = Once()

    def halves(self) -> "tuple[Batch, Batch]":
        """Return two batches that hold its items in order."""
        middle = len(self.items) // 2
        return (
            Batch(self.items[:middle], self.numbers[:middle], self.file),
            Batch(self.items[middle:], self.numbers[middle:], self.file),
        )

    def body(self) -> bytes:
        """Return the request: payloads of one frame wrapped together, those without one as they are, pieces already."""
        framed: dict[Framing | None, list[bytes]] = {}
        for frame, items in groupby(self.items, _frame):
            framed.setdefault(frame, []).extend(map(_payload, items))
        return b"".join(
            [b"".join(payloads) if frame is None else frame.wrap(payloads) for frame, payloads in framed.items()]
        )

    def bodies(self, max_bytes: int) -> "list[tuple[int, bytes]]":
        """Return the request in pieces of about so many bytes, each with its count of items."""
        pieces: list[Batch] = []
        start = size = 0
        for end, (_, payload, _) in enumerate(self.items):
            if size and size + len(payload) > max_bytes:
                pieces.append(Batch(self.items[start:end]))
                start, size = end, 0
            size += len(payload)
        pieces.append(Batch(self.items[start:]))
        return [(piece.count, piece.body()) for piece in pieces]
