"""Sending what waits: one batch at a time, with retries, halves and an account of every item."""

import math
import random
from collections.abc import Callable, Sequence
from typing import Final

from mmtrace.transport.batch import Batch
from mmtrace.transport.clock import now
from mmtrace.transport.health import Reason
from mmtrace.transport.lane import Lane
from mmtrace.transport.losses import report_loss
from mmtrace.transport.native import allocate_lock
from mmtrace.transport.signals import Exporter, Outcome, Signal

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 8.0
_LONGEST_WISH: Final = 300.0
_TRIES_IN_HASTE: Final = 2
_LEAST_PART: Final = 0.05


def _unmet(goals: "list[tuple[Lane, int]]") -> bool:
    return any(lane.ledger.finished.value < goal for lane, goal in goals)


class Delivery:
    """Takes batches from the lanes and gives them to the exporter; any thread may call it, one at a time gets through.

    The lock is held while a request is in flight and never while a retry is waited for: a batch that must wait lies
    in its lane, so that a flush finds it there. `put` never comes here. `before_export` is called before each request.
    """

    def __init__(
        self,
        exporter: Exporter,
        lanes: Sequence[Lane],
        *,
        max_batch_items: int,
        max_batch_bytes: int,
        export_timeout: float,
    ) -> None:
        self._exporter = exporter
        self._lanes = lanes
        self._first = 0
        self.max_items = max_batch_items
        self.max_bytes = max_batch_bytes
        self._export_timeout = export_timeout
        self._random = random.Random()  # noqa: S311 - jitter; the global one belongs to the application
        self._in_flight: tuple[Lane, Batch] | None = None
        self.lock = allocate_lock()
        self._settling = allocate_lock()
        self._keeping = allocate_lock()
        self.before_export: Callable[[], object] = lambda: None
        self.answered = False
        self.failures = 0

    def is_ready(self) -> bool:
        """Whether anything waits that may be sent now."""
        moment = now()
        return any(lane.is_ready(moment) for lane in self._lanes)

    def is_urgent(self) -> bool:
        """Whether a full batch waits, or one whose time to be sent again has come."""
        moment = now()
        return any(
            lane.resume_at <= moment and (lane.returned or lane.sendable >= self.max_items) for lane in self._lanes
        )

    def next_retry(self) -> float:
        """When the next lane that waits for a retry may go on, on the monotonic clock; infinity where none waits."""
        return min((lane.resume_at for lane in self._lanes if lane.is_ready(math.inf)), default=math.inf)

    @property
    def is_busy(self) -> bool:
        """Whether a request is in flight."""
        return self._in_flight is not None

    def send_next(self, deadline: float = math.inf) -> bool:
        """Send one batch of a lane that is ready; False where there is none or the time is over."""
        if not self.lock.acquire(timeout=-1 if deadline == math.inf else max(0.0, deadline - now())):
            return False
        try:
            taken = self._take()
            if taken is None:
                return False
            self._in_flight = taken
            self._send(*taken, deadline)
            return True
        finally:
            self._in_flight = None
            self.lock.release()

    def send_ready(self, stop: Callable[[], bool]) -> None:
        """Send once what waits now, leaving what comes meanwhile for the next time; ends early where `stop` says so.

        Of what is on disk it sends no more than of what is in memory, and one batch of each signal: the rest is for
        the next time.
        """
        goals = [
            (lane, lane.ledger.finished.value + lane.ledger.waiting + min(lane.ledger.spooled.value, self.max_items))
            for lane in self._lanes
        ]
        while _unmet(goals) and not stop() and self.send_next():
            pass

    def too_late(self, begin: float, deadline: float) -> float:
        """Return from when on a flush sends nothing more, where what waits can be kept on disk.

        What is begun in its last moments is answered after it has ended, and then delivered twice.
        """
        return deadline - _LEAST_PART * (deadline - begin) if self.spools else deadline

    def drain(self, deadline: float, sleep: Callable[[float], object], late: float = math.inf) -> None:
        """Send everything that waits now, retries included, until it is settled, hopeless, or the deadline is reached.

        Nothing is begun when it is `late`.
        Hopeless is a destination that fails twice more where what waits can be kept on disk, or where it never answered
        in this process: nobody waits for it at every exit.
        """
        goals = [(lane, lane.ledger.goal) for lane in self._lanes]
        failures = self.failures
        for lane in self._lanes:
            lane.resume_at = 0.0
            lane.failures = 0
        while _unmet(goals) and now() < min(deadline, late):
            self.move_to_disk(lambda lane: lane.goes_by_disk, deadline)
            if self.send_next(deadline):
                continue
            pause = self._patience()
            patient = self.answered and not self.spools
            hopeless = not patient and self.failures - failures >= _TRIES_IN_HASTE
            if hopeless or pause > deadline - now():
                return
            sleep(max(pause, 0.001))

    def _patience(self) -> float:
        """Return how many seconds to wait for something to send: none for what another thread has in its hands."""
        on_its_way = any(lane.ledger.waiting and not lane.is_ready(math.inf) for lane in self._lanes)
        return 0.0 if on_its_way else self.next_retry() - now()

    @property
    def spools(self) -> bool:
        """Whether anything can be kept on disk."""
        return any(lane.spool is not None and lane.spool.is_on for lane in self._lanes)

    def move_to_disk(self, which: Callable[[Lane], bool], deadline: float) -> None:
        """Keep on disk what waits of some signals; nothing where that is not possible.

        When it returns, nothing is on its way to the disk: another thread that was at it has finished.
        """
        if self._keeping.acquire(timeout=max(0.0, deadline - now())):
            try:
                for lane in self._lanes:
                    if lane.spool is not None and lane.spool.is_on and lane.abandoned is None and which(lane):
                        lane.move_all_to_disk(self.max_items, self.max_bytes)
            finally:
                self._keeping.release()

    def keep_flying(self, which: Callable[[Lane], bool], deadline: float) -> None:
        """Keep a copy on disk of what is in flight of some signals: nothing is lost if the answer never comes."""
        if self._settling.acquire(timeout=max(0.0, deadline - now())):
            try:
                if self._in_flight is not None and which(self._in_flight[0]):
                    lane, batch = self._in_flight
                    lane.copy_to_disk(batch)
            finally:
                self._settling.release()

    def abandon(self, reason: Reason) -> int:
        """Drop all that waits in memory alone, what is in flight included, and say how many items that were."""
        lost = 0
        flying = self._in_flight
        if flying is not None and flying[1].claim.take():
            lost += flying[0].give_up(flying[1], reason)
        return lost + sum(lane.abandon(reason) for lane in self._lanes)

    def complain(self, message: str) -> None:
        """Say once that this destination takes nothing, or too little in the time it has."""
        report_loss(f"delivery {self._exporter.where}", message)

    def _take(self) -> tuple[Lane, Batch] | None:
        moment = now()
        for turn in range(len(self._lanes)):
            lane = self._lanes[(self._first + turn) % len(self._lanes)]
            if lane.is_ready(moment) and (batch := lane.take(self.max_items, self.max_bytes)) is not None:
                self._first += turn + 1
                return lane, batch
        return None

    def _send(self, lane: Lane, batch: Batch, deadline: float) -> None:
        if batch.deadline is None:
            batch.deadline = now() + self._export_timeout
        timeout = min(deadline, batch.deadline) - now()
        self.before_export()
        outcome = self._export(lane.signal, batch, max(timeout, 0.001))
        self.answered = self.answered or outcome.answered
        with self._settling:
            if outcome.kind != "retry":
                lane.failures = 0
            if batch.claim.take():
                _SETTLE[outcome.kind](self, lane, batch, outcome)
            self._in_flight = None

    def _export(self, signal: Signal, batch: Batch, timeout: float) -> Outcome:
        try:
            return self._exporter.export(signal, batch.body(), batch.count, timeout)
        except Exception as error:
            return Outcome("retry", message=f"sending to {self._exporter.where} failed: {error!r}", answered=False)

    def _accepted(self, lane: Lane, batch: Batch, outcome: Outcome) -> None:
        rejected = min(outcome.rejected, batch.count)
        if rejected or outcome.message:
            report_loss(
                f"partial {self._exporter.where} {lane.signal.label}",
                f"{self._exporter.where} took a request of {lane.signal.label} but left out {rejected} of "
                f"{batch.count} items: {outcome.message or 'it gives no reason'}",
            )
        lane.settle(batch, exported=batch.count - rejected)

    def _retry(self, lane: Lane, batch: Batch, outcome: Outcome) -> None:
        self.failures += 1
        lane.resume_at = now() + self._pause(lane, outcome)
        spool = lane.spool
        if batch.numbers or (spool is not None and spool.mode != "end" and lane.move_to_disk([batch])):
            lane.release(batch)
            self.complain(f"{outcome.message}; the service runs on, telemetry waits on disk")
            return
        self.complain(f"{outcome.message}; the service runs on, telemetry waits in memory and is dropped if this lasts")
        if batch.deadline is not None and lane.resume_at >= batch.deadline:
            lane.settle(batch, exported=0, reason="timeout")
            return
        batch.claim.put_back()
        lane.give_back([batch])

    def _pause(self, lane: Lane, outcome: Outcome) -> float:
        """Return how long to wait: as the destination asks, and longer every time where it asks for less."""
        lane.failures += 1
        wish = outcome.retry_after
        if wish is not None and lane.failures == 1:
            return min(wish, _LONGEST_WISH) * self._random.uniform(1.0, 1.1)
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (lane.failures - 1))
        return max(pause * self._random.uniform(0.8, 1.2), min(wish or 0.0, _LONGEST_WISH))

    def _rejected(self, lane: Lane, batch: Batch, outcome: Outcome) -> None:
        report_loss(f"rejected {self._exporter.where} {lane.signal.label}", outcome.message)
        lane.settle(batch, exported=0)

    def _unsupported(self, lane: Lane, batch: Batch, outcome: Outcome) -> None:
        report_loss(
            f"unsupported {self._exporter.where} {lane.signal.label}",
            f"{outcome.message}; {lane.signal.label} are not sent there any more",
        )
        lane.settle(batch, exported=0, reason="unsupported")
        lane.abandon("unsupported")

    def _too_large(self, lane: Lane, batch: Batch, outcome: Outcome) -> None:
        if batch.in_memory and batch.numbers:  # it will be read from disk in pieces
            lane.release(batch)
            return
        halves = lane.halves(batch)
        if halves is not None:
            lane.give_back(halves)
            return
        report_loss(
            f"too_large {self._exporter.where} {lane.signal.label}",
            f"{outcome.message}; one of {batch.size} bytes was dropped",
        )
        lane.settle(batch, exported=0, reason="too_large")


_SETTLE: Final[dict[str, Callable[[Delivery, Lane, Batch, Outcome], None]]] = {
    "accepted": Delivery._accepted,
    "retry": Delivery._retry,
    "rejected": Delivery._rejected,
    "unsupported": Delivery._unsupported,
    "too_large": Delivery._too_large,
}
