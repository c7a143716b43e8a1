"""What one signal keeps on disk: written by the thread of a pipeline or by a flush, read back when it can be sent.

Everything that a disk or SQLite can do wrong ends here. A file that is damaged is set aside and another one begun; any
other error turns the spool off for a while, and what comes meanwhile waits in memory and is dropped as without a spool.
"""

import random
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Final, Literal, TypeAlias, TypeVar

from mmtrace.otlp.split import halves
from mmtrace.transport.batch import Batch
from mmtrace.transport.clock import now
from mmtrace.transport.health import Ledger, Reason
from mmtrace.transport.losses import report_loss
from mmtrace.transport.native import allocate_lock
from mmtrace.transport.signals import Signal
from mmtrace.transport.spool_file import SpoolFile, Taken, set_aside
from mmtrace.transport.spools import Folder

T = TypeVar("T")
Mode: TypeAlias = Literal["overflow", "always", "end"]
"""When something goes to disk: when it cannot be sent, at once, or when the process ends before it was sent."""

_LOOK_EVERY: Final = 30.0
_OFF_FOR: Final = 60.0
_PATIENCE: Final = 1.0
_LARGE: Final = 8 << 20
"""An empty file of such a size is not kept for what comes."""


class Spool:
    """The batches of `signal` in `folder`. No method raises, or waits longer than a second for another thread."""

    def __init__(self, folder: Folder, signal: Signal, ledger: Ledger, mode: Mode) -> None:
        self.mode: Mode = mode
        self._folder = folder
        self._signal = signal
        self._ledger = ledger
        self._file: SpoolFile | None = None
        self._lock = allocate_lock()
        self._closed = False
        self._writable_at = 0.0
        self._readable_at = 0.0
        self._newest = False
        self._random = random.Random()  # noqa: S311 - jitter; the global one belongs to the application
        self.next_look = now() + self._random.random()

    @property
    def is_on(self) -> bool:
        """Whether it can be written to, as far as is known."""
        return not self._closed and self._writable_at <= now()

    @property
    def items(self) -> int:
        """Items on disk that may be sent."""
        return 0 if self._file is None or self._readable_at > now() else self._file.items

    @property
    def bytes(self) -> int:
        """Bytes of the batches on disk."""
        return 0 if self._file is None else self._file.bytes

    @property
    def at_once(self) -> int:
        """How many bytes to store at once at the most."""
        return self._folder.part

    def store(self, batches: Sequence[Batch]) -> bool:
        """Keep copies of batches, and tell them where those are; False where they cannot be kept, not one of them."""
        return not batches or (self.is_on and bool(self._do(lambda: self._store(batches))))

    def take(self, max_items: int, max_bytes: int) -> Batch | None:
        """Return what can be sent in one request, by turns the oldest and the newest, so that neither waits long."""
        return self._do(lambda: self._take(max_items, max_bytes), reads=True) if self.items else None

    def settle(self, batch: Batch, exported: int, reason: Reason) -> None:
        """Forget a batch that is kept, and count it: so many items were delivered, the rest dropped for a reason.

        Where the disk does not take it now, it is remembered, and nothing is read before it is done. One whose file
        was set aside has been counted.
        """
        file = self._file
        if file is None or file is not batch.file:
            return
        file.doom(batch.numbers)
        done = self._do(lambda: self._settle(file, exported, reason), reads=True)
        if done is None and self._file is file:
            self._ledger.unspool(batch.count, exported, reason)

    def split(self, batch: Batch) -> tuple[Batch, Batch] | None:
        """Return two batches in place of one of a single piece, None where it cannot be divided."""
        return self._do(lambda: self._split(batch))

    def look(self) -> bool:
        """Take over what a dead process left, where nothing is kept already; whether something was found."""
        self.next_look = now() + _LOOK_EVERY * self._random.uniform(0.5, 1.5)
        return bool(self._do(self._adopt, reads=True))

    def close(self) -> None:
        """Leave what is kept to the next process of the service."""
        self._do(self._end)
        self._closed = True

    def before_fork(self) -> bool:
        """Wait, within bounds, until no thread is inside SQLite, whose locks a child would inherit."""
        return self._lock.acquire(timeout=_PATIENCE)

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._lock.release()

    def leave_to_parent(self) -> None:
        """Never touch the parent's file, in a child."""
        if self._file is not None:
            self._file.leave_to_parent()
        self._closed = True

    # --- under the lock -----------------------------------------------------------------------------------------------

    def _do(self, work: Callable[[], T], *, reads: bool = False) -> T | None:
        if not self._lock.acquire(timeout=_PATIENCE):
            return None
        try:
            return None if self._closed else work()
        except (sqlite3.Error, OSError, Taken) as error:
            self._failed(error, reads=reads)
            return None
        finally:
            self._lock.release()

    def _failed(self, error: Exception, *, reads: bool) -> None:
        if _is_damage(error) and self._file is not None:
            self._set_aside(self._file, error)
            return
        if reads:
            self._readable_at = now() + _OFF_FOR
        else:
            self._writable_at = now() + _OFF_FOR
        report_loss(
            f"spool {self._folder.path}",
            f"{self._folder.path} cannot be used ({error}): what cannot be sent waits in memory, and is "
            "dropped and counted if this lasts; MMTRACE_SPOOL_DIR names another folder, MMTRACE_SPOOL=off needs none",
        )

    def _set_aside(self, file: SpoolFile, error: Exception) -> None:
        self._file = None
        lost = self._ledger.spooled.value
        self._ledger.unspool(lost, 0, "spool_error")
        self._say_damaged(file.path, error, f"{lost} items")
        try:
            file.set_aside()
        except (sqlite3.Error, OSError) as failure:
            self._failed(failure, reads=False)

    def _say_damaged(self, path: Path, error: Exception, lost: str) -> None:
        report_loss(
            f"spool_damaged {path}",
            f"{path} is damaged ({error}) and was set aside under the name *.damaged; {lost} are lost",
        )

    def _store(self, batches: Sequence[Batch]) -> bool:
        file = self._file or self._begin()
        if not self._has_room(file, sum(batch.size for batch in batches)):
            self._say_full()
            return False
        row_bytes = self._folder.row_bytes
        bodies = [batch.bodies(row_bytes) for batch in batches]
        numbers = iter(file.append(list(chain.from_iterable(bodies))))
        for batch, own in zip(batches, bodies, strict=True):
            batch.numbers, batch.file = list(islice(numbers, len(own))), file
            self._ledger.spooled.add(batch.count)
        return True

    def _has_room(self, file: SpoolFile, size: int) -> bool:
        """Make room for so many bytes: files that nobody holds are the oldest, then come the oldest batches."""
        while (missing := file.bytes + size - self._folder.allowance(file.path)) > 0 and self._shed(file):
            pass
        if missing > file.bytes:
            return False
        if missing > 0:
            self._made_way(file.make_way(missing))
        return True

    def _shed(self, held: SpoolFile) -> bool:
        for path in self._folder.left_behind(self._signal):
            if path != held.path and (file := self._open(path)) is not None:
                self._ledger.adopt(file.items)
                self._made_way(file.items)
                file.discard()
                return True
        return False

    def _begin(self) -> SpoolFile:
        self._adopt()
        if self._file is None:
            self._file = self._folder.create(self._signal)
        return self._file

    def _made_way(self, lost: int) -> None:
        if lost:
            self._ledger.unspool(lost, 0, "spool_full")
            self._say_full()

    def _say_full(self) -> None:
        report_loss(
            f"spool_full {self._folder.path}",
            f"{self._folder.path} or its disk is full, or what is there too old: the oldest make way and are counted; "
            "the receiver is away or too slow, or MMTRACE_SPOOL_MAX_BYTES or MMTRACE_SPOOL_MAX_AGE is too small",
        )

    def _take(self, max_items: int, max_bytes: int) -> Batch | None:
        file = self._file
        if file is None:
            return None
        self._made_way(file.expire(self._folder.max_age))
        self._newest = not self._newest and self.mode == "always"
        rows = file.read(max_items, max_bytes, newest=self._newest)
        return Batch([(None, body, count) for _, count, body in rows], [row[0] for row in rows], file) if rows else None

    def _settle(self, file: SpoolFile, exported: int, reason: Reason) -> bool:
        before = file.items
        file.purge()
        removed = before - file.items
        self._ledger.unspool(removed, min(exported, removed), reason)
        if not file.items and (self.mode != "always" or file.size > _LARGE):
            self._release()
            self.next_look = now()
        return True

    def _split(self, batch: Batch) -> tuple[Batch, Batch] | None:
        parts = halves(batch.items[0][1])
        if self._file is None or self._file is not batch.file or parts is None:
            return None
        (here, first), (there, second) = parts
        share = batch.count * here // (here + there)  # a metric holds several items
        counted = [(share, first), (batch.count - share, second)]
        one, other = self._file.replace(batch.numbers[0], counted)
        return (
            Batch([(None, first, share)], [one], batch.file),
            Batch([(None, second, batch.count - share)], [other], batch.file),
        )

    def _adopt(self) -> bool:
        self._folder.tidy()
        if self._file is not None and self._file.items:
            return False
        return any(self._take_over(path) for path in self._folder.left_behind(self._signal))

    def _take_over(self, path: Path) -> bool:
        file = self._open(path)
        if file is None:
            return False
        if not file.items:
            file.close()
            return False
        self._release()
        self._file = file
        self._ledger.adopt(file.items)
        return True

    def _open(self, path: Path) -> SpoolFile | None:
        """Return a file that was left behind, None where another process holds it or it cannot be used."""
        try:
            return self._folder.open(path)
        except Taken:
            return None
        except sqlite3.Error as error:
            if not _is_damage(error):
                report_loss(f"spool_file {path}", f"{path} cannot be used: {error}")
                return None
            set_aside(path)
            self._ledger.lose("spool_error", 1)
            self._say_damaged(path, error, "the items of it, of an unknown number and counted as one,")
            return None

    def _end(self) -> None:
        self._closed = True
        self._release()

    def _release(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


def _is_damage(error: Exception) -> bool:
    """Whether SQLite cannot read its own file; errors of the disk and of rights have types of their own."""
    return type(error) is sqlite3.DatabaseError


def spool_of(folder: Folder, modes: Mapping[Signal, Mode], signal: Signal, ledger: Ledger) -> Spool | None:
    """Return the spool of a signal, None where it has no mode."""
    mode = modes.get(signal)
    return None if mode is None else Spool(folder, signal, ledger, mode)
