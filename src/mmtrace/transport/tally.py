"""Counting without locks: exact sums that threads, signal handlers and finalizers may change at any moment.

Why not `count += 1`? It reads, adds and writes in separate steps, and a thread or a finalizer in between is lost. Why
not a lock? A span may end in a finalizer, which may run inside the very section that the lock guards, in the same
thread: it would wait for itself. What is needed is one step that adds and tells the sum, and the standard library has
it: `BytesIO.seek(amount, SEEK_CUR)` moves a position by any amount and returns where it then is, in a single call of
C code that allocates no container, so that neither another thread nor the collector gets a turn within it. No buffer
is ever written: the object is a signed 64-bit integer with an atomic fetch-and-add.
"""

import io
import sys


class Tally:
    """A whole number, never below zero, that any thread or finalizer may change at any moment."""

    __slots__ = ("_tell", "step")

    def __init__(self) -> None:
        position = io.BytesIO()
        self.step = position.seek
        """`step(amount, 1)` is `add(amount)` without a call of Python, for those who count every span."""
        self._tell = position.tell

    def add(self, amount: int) -> int:
        """Add `amount`, which may be negative, and return the sum that includes it."""
        return self.step(amount, 1)

    @property
    def value(self) -> int:
        """The sum now."""
        return self._tell()


class Room:
    """A bound on the bytes and the items that wait; never exceeded, by however many threads.

    A reservation is added first and checked after. What is admitted at any moment is at most the sum at that moment,
    and each admission saw a sum within the bound that included its own reservation; sums only shrink by what has
    left. So the bound holds exactly. A reservation on its way back may turn another away while the room is all but
    full, no more.

    `wake_bytes`: how many reserved bytes are more than the thread that sends wants to sleep through.
    """

    __slots__ = ("_bytes", "_items", "_more_bytes", "_more_items", "max_bytes", "max_items", "wake_bytes")

    def __init__(self, max_bytes: int, max_items: int) -> None:
        self.max_bytes = max_bytes
        self.max_items = max_items
        self.wake_bytes = sys.maxsize
        self._bytes = Tally()
        self._items = Tally()
        self._more_bytes = self._bytes.step
        self._more_items = self._items.step

    def take(self, size: int, count: int) -> int | None:
        """Reserve room for `count` items of `size` bytes; return how many bytes are reserved now, None without."""
        held = self._more_bytes(size, 1)
        if self._more_items(count, 1) <= self.max_items and held <= self.max_bytes:
            return held
        self.give(size, count)
        return None

    def give(self, size: int, count: int) -> None:
        """Give back what `take` reserved."""
        self._bytes.add(-size)
        self._items.add(-count)

    def is_filled(self, part: int) -> bool:
        """Whether more than one `part`-th of either bound is reserved."""
        return self.bytes * part > self.max_bytes or self.items * part > self.max_items

    @property
    def bytes(self) -> int:
        """Bytes that are reserved now."""
        return self._bytes.value

    @property
    def items(self) -> int:
        """Items that are reserved now."""
        return self._items.value


class Once:
    """A right that exactly one of many threads and finalizers gets: whoever takes it first."""

    __slots__ = ("_right",)

    def __init__(self) -> None:
        self._right = [True]

    def take(self) -> bool:
        """Take the right; True once."""
        try:
            return self._right.pop()
        except IndexError:
            return False

    def put_back(self) -> None:
        """Let it be taken once more."""
        self._right.append(True)

    @property
    def is_taken(self) -> bool:
        """Whether somebody has it."""
        return not self._right
