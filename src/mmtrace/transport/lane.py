"""The queue of one signal, and the batches that leave it."""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeAlias

from mmtrace.transport.batch import Batch, Item
from mmtrace.transport.health import Ledger, Reason
from mmtrace.transport.signals import Framing, Signal
from mmtrace.transport.tally import Room

if TYPE_CHECKING:  # SQLite loads with the first spool
    from mmtrace.transport.spool import Spool

NEVER: Final = sys.maxsize
"""A `wake_at` that is never reached."""

Spools: TypeAlias = "Callable[[Signal, Ledger], Spool | None]"
"""Returns what keeps a signal on disk, where anything does."""


class Lane:
    """What waits of one signal. `put` is safe in any thread and any finalizer; nothing else is for finalizers.

    `wake` and `say_full` are as safe, and are called where the thread waits for a payload, and where there is no room.
    `refuses`: why nothing is taken any more. `resume_at`: until when a retry waits, on the monotonic clock.
    `failures`: how often in a row the destination did not answer or had no time. `wake_at`: how many payloads wake the
    thread. `spool`: what is on disk, where anything may be.
    """

    __slots__ = (
        "_disk_next",
        "_one_more",
        "_say_full",
        "_wake",
        "abandoned",
        "failures",
        "ledger",
        "queue",
        "refuses",
        "resume_at",
        "returned",
        "room",
        "signal",
        "spool",
        "wake_at",
    )

    def __init__(
        self,
        signal: Signal,
        room: Room,
        spools: "Spools | None",
        wake: Callable[[], object],
        say_full: Callable[[], object],
    ) -> None:
        self.signal = signal
        self.room = room
        self.queue: deque[Item] = deque()
        self.returned: deque[Batch] = deque()
        self.ledger = Ledger()
        self.spool = spools(signal, self.ledger) if spools is not None else None
        self._one_more = self.ledger.started.step
        self._wake = wake
        self._say_full = say_full
        self._disk_next = False
        self.refuses: Reason | None = None
        self.abandoned: Reason | None = None
        self.resume_at = 0.0
        self.failures = 0
        self.wake_at = 1

    def put(self, frame: Framing | None, payload: bytes, count: int) -> bool:
        """Queue a payload that holds `count` items; False where it was dropped and counted instead."""
        self._one_more(count, 1)
        if self.refuses is not None:
            return self._refuse(self.refuses, count)
        room, queue = self.room, self.queue
        held = room.take(len(payload), count)
        if held is None:
            self._say_full()
            return self._refuse("queue_full", count)
        queue.append((frame, payload, count))
        if self.abandoned is not None:  # between the check and the append, so nobody else empties it
            self.abandon(self.abandoned)
        if len(queue) >= self.wake_at or held >= room.wake_bytes:
            # One wake-up is enough: the thread says anew what it listens for before it rests.
            self.wake_at = room.wake_bytes = NEVER
            self._wake()
        return True

    def _refuse(self, reason: Reason, count: int) -> bool:
        self.ledger.drop(reason, count)
        return False

    def lose(self, reason: Reason, count: int) -> None:
        """Count items that never became a payload."""
        self.ledger.lose(reason, count)

    # --- sending ------------------------------------------------------------------------------------------------------

    @property
    def goes_by_disk(self) -> bool:
        """Whether everything is written to disk before it is sent."""
        return self.spool is not None and self.spool.mode == "always" and self.spool.is_on

    @property
    def sendable(self) -> int:
        """How much can be sent now: payloads in the queue, items on disk."""
        if self.abandoned is not None:
            return 0
        queued = 0 if self.goes_by_disk else len(self.queue)
        return queued + (0 if self.spool is None else self.spool.items)

    def is_ready(self, now: float) -> bool:
        """Whether something waits that need not wait for a retry."""
        return self.resume_at <= now and bool(self.queue or self.returned or self.sendable)

    def take(self, max_items: int, max_bytes: int) -> Batch | None:
        """Return the next batch within both bounds, but of at least one payload.

        One that came back is the first; then those of the queue and those on disk take turns, unless memory fills up.
        """
        if self.returned:
            return self.returned.popleft()
        self._disk_next = not self._disk_next and not self.room.is_filled(4)
        sources = (self._take_from_queue, self._take_from_disk)
        for source in sources[:: -1 if self._disk_next else 1]:
            if (batch := source(max_items, max_bytes)) is not None:
                return batch
        return None

    def _take_from_disk(self, max_items: int, max_bytes: int) -> Batch | None:
        return None if self.spool is None or self.abandoned else self.spool.take(max_items, max_bytes)

    def _take_from_queue(self, max_items: int, max_bytes: int) -> Batch | None:
        return None if self.goes_by_disk else self._oldest_of_queue(max_items, max_bytes)

    def _oldest_of_queue(self, max_items: int, max_bytes: int) -> Batch | None:
        items: list[Item] = []
        append, popleft = items.append, self.queue.popleft
        with suppress(IndexError):
            for _ in range(max_items):
                append(popleft())
        if not items:
            return None
        batch = Batch(items)
        if batch.count <= max_items and batch.size <= max_bytes:
            return batch
        fitting = _fitting(items, max_items, max_bytes)
        self.queue.extendleft(reversed(items[fitting:]))
        return Batch(items[:fitting])

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

    def halves(self, batch: Batch) -> tuple[Batch, Batch] | None:
        """Return two batches in place of one, None where it cannot be divided."""
        if len(batch.items) > 1:
            return batch.halves()
        return self.spool.split(batch) if batch.numbers and self.spool is not None else None

    def settle(self, batch: Batch, *, exported: int, reason: Reason = "rejected") -> None:
        """Count a claimed batch: so many of its items were delivered, the rest dropped for a reason."""
        if batch.numbers and self.spool is not None:
            self.spool.settle(batch, exported, reason)
        else:
            self.ledger.settle(batch.count, exported, reason)
        self.release(batch)

    def release(self, batch: Batch) -> None:
        """Let go of a batch's share of the memory."""
        if batch.in_memory:
            batch.in_memory = False
            self.room.give(batch.size, batch.count)

    # --- keeping ------------------------------------------------------------------------------------------------------

    def copy_to_disk(self, batch: Batch) -> bool:
        """Keep a batch on disk as well, while it may be in flight; whether that went well."""
        return bool(batch.numbers) or (self.spool is not None and self.spool.store([batch]))

    def move_to_disk(self, batches: Sequence[Batch]) -> bool:
        """Keep batches on disk alone; False where that failed, and they must be kept in memory."""
        if self.spool is None or not self.spool.store([batch for batch in batches if not batch.numbers]):
            return False
        for batch in batches:
            self.release(batch)
        return True

    def move_all_to_disk(self, max_items: int, max_bytes: int) -> None:
        """Keep on disk alone what waits in memory, until there is nothing more or it fails."""
        max_bytes = min(max_bytes, self.spool.at_once) if self.spool is not None else max_bytes
        while batches := self._batches(max_items, max_bytes):
            moved = False
            try:
                moved = self.move_to_disk(batches)
            finally:
                if not moved:
                    self.give_back(batches)
            if not moved:
                return

    def _batches(self, max_items: int, max_bytes: int) -> list[Batch]:
        """Return batches that are together within the bound of bytes, but at least one, of at least one payload."""
        found: list[Batch] = []
        while (batch := self._any_batch(max_items, max_bytes)) is not None:
            if batch.in_memory and batch.size > max_bytes and (found or len(batch.items) > 1):
                self.give_back([batch] if found else batch.halves())
                if found:
                    break
                continue
            found.append(batch)
            max_bytes -= batch.size
            if batch.count < max_items or max_bytes <= 0:
                break
        return found

    def _any_batch(self, max_items: int, max_bytes: int) -> Batch | None:
        try:
            return self.returned.popleft()
        except IndexError:
            return self._oldest_of_queue(max_items, max_bytes)

    def abandon(self, reason: Reason) -> int:
        """Drop all that waits in memory alone, now and ever after, and say how many items that were."""
        self.refuses = self.abandoned = reason
        lost = 0
        while (batch := self._any()) is not None:
            if batch.claim.take():
                lost += self.give_up(batch, reason)
        return lost

    def give_up(self, batch: Batch, reason: Reason) -> int:
        """Drop a claimed batch and say how many items are lost: none where they are on disk."""
        if batch.numbers:
            self.release(batch)
            return 0
        self.settle(batch, exported=0, reason=reason)
        return batch.count

    def _any(self) -> Batch | None:
        try:
            return self.returned.popleft()
        except IndexError:
            item = self._oldest()
            return None if item is None else Batch([item])


def _fitting(items: Sequence[Item], max_items: int, max_bytes: int) -> int:
    """Return how many of the items are within both bounds together, but at least one."""
    for index, (_, payload, count) in enumerate(items):
        max_items -= count
        max_bytes -= len(payload)
        if index and (max_items < 0 or max_bytes < 0):
            return index
    return len(items)
