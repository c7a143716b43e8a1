"""The queue of one signal, and the batches that leave it."""

import sys
from collections import deque
from collections.abc import Iterable
from typing import Final, TypeAlias

from mmtrace.transport.health import Ledger, Reason
from mmtrace.transport.signals import Framing, Signal
from mmtrace.transport.tally import Once, Room, Tally

NEVER: Final = sys.maxsize
"""A `wake_at` that is never reached."""

Item: TypeAlias = tuple[Framing | None, bytes, int]
"""A payload with what frames it and how many spans, records or points it holds."""


class Batch:
    """Items that are sent in one request; `claim` is the right to settle it."""

    __slots__ = ("attempts", "claim", "count", "deadline", "items", "size")

    def __init__(self, items: list[Item]) -> None:
        self.items = items
        self.count = sum([count for _, _, count in items])
        self.size = sum([len(payload) for _, payload, _ in items])
        self.attempts = 0
        self.deadline: float | None = None
        self.claim = Once()

    def halves(self) -> "tuple[Batch, Batch]":
        """Return two batches that hold its items in order."""
        middle = len(self.items) // 2
        return Batch(self.items[:middle]), Batch(self.items[middle:])

    def body(self) -> bytes:
        """Return the request: payloads of one frame wrapped together, those without one as they are, pieces already."""
        framed: dict[Framing | None, list[bytes]] = {}
        for frame, payload, _ in self.items:
            framed.setdefault(frame, []).append(payload)
        return b"".join(
            b"".join(payloads) if frame is None else frame.wrap(payloads) for frame, payloads in framed.items()
        )


class Lane:
    """What waits of one signal. `put` is safe in any thread and any finalizer; `take` is for one thread at a time.

    `refuses`: why nothing is taken any more. `resume_at`: until when a retry waits, on the monotonic clock.
    `wake_at`: how many payloads wake the thread. `finished`: items that left for good, after they had been queued.
    """

    __slots__ = (
        "_one_more",
        "abandoned",
        "finished",
        "ledger",
        "queue",
        "refuses",
        "resume_at",
        "returned",
        "room",
        "signal",
        "wake_at",
    )

    def __init__(self, signal: Signal, room: Room) -> None:
        self.signal = signal
        self.room = room
        self.queue: deque[Item] = deque()
        self.returned: deque[Batch] = deque()
        self.ledger = Ledger()
        self._one_more = self.ledger.started.step
        self.finished = Tally()
        self.refuses: Reason | None = None
        self.abandoned: Reason | None = None
        self.resume_at = 0.0
        self.wake_at = 1

    def put(self, frame: Framing | None, payload: bytes, count: int) -> Reason | None:
        """Queue a payload; returns why it was dropped instead, where it was."""
        self._one_more(count, 1)
        refusal = self.refuses
        if refusal is not None:
            return self._refuse(refusal, count)
        if not self.room.take(len(payload), count):
            return self._refuse("queue_full", count)
        self.queue.append((frame, payload, count))
        if self.abandoned is not None:  # between the check and the append, so nobody else empties it
            self.abandon(self.abandoned)
        return None

    def _refuse(self, reason: Reason, count: int) -> Reason:
        self.ledger.drop(reason, count)
        return reason

    def lose(self, reason: Reason, count: int) -> None:
        """Count items that never became a payload."""
        self.ledger.started.add(count)
        self.ledger.drop(reason, count)

    @property
    def waiting(self) -> int:
        """Items that are queued or in flight."""
        started, exported, dropped = self.ledger.read()
        return started - exported - sum(dropped.values())

    def is_ready(self, now: float) -> bool:
        """Whether there is something to send that need not wait for a retry."""
        return bool(self.queue or self.returned) and self.resume_at <= now

    def take(self, max_items: int, max_bytes: int) -> Batch | None:
        """Return the next batch: one that came back, or the oldest items within both bounds, but at least one."""
        if self.returned:
            return self.returned.popleft()
        items: list[Item] = []
        while (item := self._oldest()) is not None:
            max_items -= item[2]
            max_bytes -= len(item[1])
            if items and (max_items < 0 or max_bytes < 0):
                self.queue.appendleft(item)
                break
            items.append(item)
        return Batch(items) if items else None

    def _oldest(self) -> Item | None:
        try:
            return self.queue.popleft()
        except IndexError:
            return None

    def give_back(self, batches: Iterable[Batch]) -> None:
        """Put batches before everything else, in order."""
        self.returned.extendleft(reversed(list(batches)))
        if self.abandoned is not None:
            self.abandon(self.abandoned)

    def settle(self, batch: Batch, *, exported: int, reason: Reason = "rejected") -> None:
        """Count a claimed batch: so many of its items were delivered, the rest dropped for a reason."""
        if exported:
            self.ledger.exported.add(exported)
        if exported < batch.count:
            self.ledger.drop(reason, batch.count - exported)
        self.room.give(batch.size, batch.count)
        self.finished.add(batch.count)

    def abandon(self, reason: Reason) -> int:
        """Drop all that waits, now and ever after, and say how many items that were."""
        self.refuses = self.abandoned = reason
        lost = 0
        while (batch := self._any()) is not None:
            if batch.claim.take():
                self.settle(batch, exported=0, reason=reason)
                lost += batch.count
        return lost

    def _any(self) -> Batch | None:
        try:
            return self.returned.popleft()
        except IndexError:
            item = self._oldest()
            return None if item is None else Batch([item])
