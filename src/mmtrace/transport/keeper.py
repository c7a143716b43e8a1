"""What goes to disk, and when: the second thread of a pipeline, which works while the first waits for an answer."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from mmtrace.recording.guard import never_raises
from mmtrace.transport.clock import now
from mmtrace.transport.delivery import Delivery
from mmtrace.transport.lane import Lane
from mmtrace.transport.native import get_ident
from mmtrace.transport.tally import Room
from mmtrace.transport.worker import Worker

if TYPE_CHECKING:
    from mmtrace.transport.spool import Spool

_OFTEN: Final = 0.03
_SOMETIMES: Final = 0.1
_PATIENCE: Final = 1.0
_RESERVE: Final = 0.2
_RESERVE_WHERE_NOBODY_ANSWERED: Final = 0.4
_LONGEST_RESERVE: Final = 2.0


class Keeper:
    """Moves to disk what cannot be sent now, or everything at once, as the mode of each signal's spool says.

    It looks every 30 or 100 ms while something is going on, and is woken when something begins; `add` never comes here.
    """

    def __init__(
        self, delivery: Delivery, lanes: Sequence[Lane], room: Room, wake_sender: Callable[[], object]
    ) -> None:
        self._delivery = delivery
        self._wake_sender = wake_sender
        self._lanes = lanes
        self._room = room
        self._spools = [lane.spool for lane in lanes if lane.spool is not None]
        self._closed = False
        self._idle = True
        self._quieted: dict[int, list[Spool]] = {}
        self.worker = Worker(self._turn, "mmtrace-spool")
        delivery.before_export = self.wake

    def wake(self) -> None:
        """Begin to look, where there is anything to look after."""
        if self._idle and self._spools and not self._closed:
            self._idle = False
            self.worker.wake()

    def reserve(self, timeout: float) -> float:
        """Return how many of the seconds of a flush are kept for writing to disk what was not delivered.

        More where the receiver has not answered in this process yet: it may never.
        """
        if not self._delivery.spools:
            return 0.0
        part = _RESERVE if self._delivery.answered else _RESERVE_WHERE_NOBODY_ANSWERED
        return min(_LONGEST_RESERVE, part * max(0.0, timeout))

    def keep_all(self, deadline: float, *, closing: bool) -> None:
        """Bring to disk what is in memory, what is in flight included."""
        if self._spools:
            self._delivery.keep_flying(lambda lane: closing or not _waits_for_the_end(lane), deadline)
            self._delivery.move_to_disk(lambda lane: closing or not _waits_for_the_end(lane), deadline)

    def look(self, *, at_once: bool = False) -> bool:
        """Take over what dead processes left, where it is time to look; whether something was found."""
        moment = math.inf if at_once else now()
        found = [spool.look() for spool in self._spools if spool.next_look <= moment]
        return any(found)

    @property
    def next_look(self) -> float:
        """When to look again, on the monotonic clock; infinity where nothing is kept on disk."""
        return min((spool.next_look for spool in self._spools), default=math.inf)

    def close(self) -> None:
        """Write no more, and leave what is on disk to the next process."""
        self._closed = True
        for spool in self._spools:
            spool.close()

    # --- what the thread does -----------------------------------------------------------------------------------------

    def _turn(self) -> float | None:
        if self._closed:
            return None
        pause = self._work()
        return _SOMETIMES if pause is None else pause

    @never_raises
    def _work(self) -> float:
        self._delivery.move_to_disk(self._must_go, now() + _PATIENCE)
        if self._delivery.is_urgent() and not self._delivery.is_busy:
            self._wake_sender()
        self._idle = True
        in_haste = self._is_in_haste
        if in_haste or any(self._looks_after(lane) for lane in self._lanes):
            self._idle = False
            return _OFTEN if in_haste or any(lane.goes_by_disk for lane in self._lanes) else _SOMETIMES
        return math.inf

    def _must_go(self, lane: Lane) -> bool:
        if _waits_for_the_end(lane):
            return False
        return lane.goes_by_disk or lane.resume_at > now() or self._room.is_filled(2)

    @property
    def _is_in_haste(self) -> bool:
        """Whether memory may fill before the sender has a turn: threads at full speed fill it in half a second."""
        return self._delivery.is_busy or self._room.is_filled(4)

    def _looks_after(self, lane: Lane) -> bool:
        """Whether something may come that does not wake the sender, who would wake this thread."""
        if _waits_for_the_end(lane):
            return False
        return lane.resume_at > now() or (lane.goes_by_disk and (lane.wake_at != 1 or bool(lane.queue)))

    # --- forks --------------------------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Wait, within bounds, until no thread is inside SQLite, whose locks a child would inherit."""
        self._quieted[get_ident()] = [spool for spool in self._spools if spool.before_fork()]

    def after_fork_in_parent(self) -> None:
        """Go on writing."""
        for spool in self._quieted.pop(get_ident(), ()):
            spool.after_fork_in_parent()

    def leave_to_parent(self) -> None:
        """Never touch the parent's files in a child."""
        for spool in self._spools:
            spool.leave_to_parent()


def _waits_for_the_end(lane: Lane) -> bool:
    return lane.spool is None or lane.spool.mode == "end"
