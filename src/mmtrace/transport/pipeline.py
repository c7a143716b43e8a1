"""One destination's way out: a bounded queue of bytes, the thread that sends them, and the account of both."""

import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from opentelemetry import context

from mmtrace.recording.forks import at_fork
from mmtrace.recording.guard import never_raises, say
from mmtrace.transport.callbacks import Callbacks
from mmtrace.transport.clock import now
from mmtrace.transport.delivery import Delivery
from mmtrace.transport.health import FlushResult, Health, Reason
from mmtrace.transport.keeper import Keeper
from mmtrace.transport.lane import Lane, Spools
from mmtrace.transport.losses import report_loss
from mmtrace.transport.native import Event, get_ident
from mmtrace.transport.schedule import Schedule
from mmtrace.transport.signals import Exporter, Framing, Signal
from mmtrace.transport.tally import Once, Room, Tally
from mmtrace.transport.worker import Worker, suppressed

MIB: Final = 1 << 20
_QUIET_BEFORE_FORK: Final = 1.0
_LOOK_AFTER_WORKER: Final = 0.1


@dataclass(slots=True)
class _Request:
    """A flush that somebody waits for."""

    deadline: float
    close: bool = False
    begin: float = field(default_factory=now)
    done: Event = field(default_factory=Event)


def _say_full(where: str, size: int, items: int) -> None:
    report_loss(
        f"queue_full {where}",
        f"the queue for {where} is full ({size} bytes, {items} items): what does not fit "
        "is dropped and counted; the receiver is away or too slow, or MMTRACE_QUEUE_BYTES is too small",
    )


class Pipeline:
    """Takes encoded telemetry from any thread or finalizer and delivers it to one exporter from a thread of its own.

    Everything that `add` reaches is lock-free: atomic counters, a deque, and a reentrant wake-up. Items count against
    both bounds until the destination has answered for them, or they are on disk, where `spools` gives a signal a place
    there. Sizes are in bytes, times in seconds.
    """

    def __init__(
        self,
        exporter: Exporter,
        *,
        max_queue_bytes: int = 64 * MIB,
        max_queue_items: int = 65_536,
        max_batch_items: int = 8_192,
        max_batch_bytes: int = 7 * MIB // 2,
        schedule_delay: float = 1.0,
        export_timeout: float = 30.0,
        spools: "Spools | None" = None,
    ) -> None:
        self._exporter = exporter
        self._spools = spools
        self._bounds = (max_queue_bytes, max_queue_items)
        self._max_batch_items = max_batch_items
        self._max_batch_bytes = max_batch_bytes
        self._schedule_delay = schedule_delay
        self._export_timeout = export_timeout
        self._callbacks = Callbacks()
        self._quieted_by = 0
        self._right_to_close = Once()
        self._start_over()
        at_fork(
            self,
            before=Pipeline.before_fork,
            in_parent=Pipeline.after_fork_in_parent,
            in_child=Pipeline.after_fork_in_child,
        )

    def _start_over(self) -> None:
        self._pid = os.getpid()
        self._closed = False
        self._requests: deque[_Request] = deque()
        self._sampled_out = Tally()
        self._room = Room(*self._bounds)
        self._worker = Worker(self._turn, "mmtrace-transport")
        say_full = partial(_say_full, self._exporter.where, *self._bounds)
        self._lanes = tuple(Lane(signal, self._room, self._spools, self._worker.wake, say_full) for signal in Signal)
        self.spans = self._lanes[Signal.TRACES]
        """Where spans are put without a further step; another one in a forked child."""
        self._delivery = Delivery(
            self._exporter,
            self._lanes,
            max_batch_items=self._max_batch_items,
            max_batch_bytes=self._max_batch_bytes,
            export_timeout=self._export_timeout,
        )
        self._schedule = Schedule(self._delivery, self._lanes, self._room, self._schedule_delay)
        self._keeper = Keeper(self._delivery, self._lanes, self._room, self._worker.wake)

    # --- what any thread and any finalizer may call -------------------------------------------------------------------

    def add(self, signal: Signal, frame: Framing | None, payload: bytes, count: int = 1) -> bool:
        """Queue `payload`, which holds `count` items; False where it was dropped and counted instead.

        With a frame, payloads are wrapped by it when they are sent; without one, a payload is a piece of a request.
        """
        return self._lanes[signal].put(frame, payload, count)

    def lose(self, signal: Signal, reason: Reason, count: int = 1) -> None:
        """Count items that could not become a payload."""
        self._lanes[signal].lose(reason, count)

    def leave_out(self, count: int = 1) -> None:
        """Count spans that sampling left out."""
        self._sampled_out.add(count)

    def start(self) -> None:
        """Start the thread before the first item, for callbacks that nothing else would start."""
        self._worker.wake()

    def hurry(self) -> None:
        """Let the thread send at once what waits, without waiting for it."""
        if self._worker.has_started:
            self._schedule.hurry()
            self._worker.wake()

    # --- what may wait ------------------------------------------------------------------------------------------------

    def every(self, seconds: float, callback: Callable[[], object]) -> None:
        """Call `callback` that often in the thread, once it runs, and in every flush and shutdown; it may `add`."""
        self._callbacks.add(seconds, callback)
        if self._worker.has_started:
            self._worker.wake()

    def flush(self, timeout: float) -> FlushResult:
        """Deliver what is queued within `timeout` seconds, else keep it on disk, and say what became of it."""
        return self._finish(_Request(now() + timeout))

    def shutdown(self, timeout: float) -> FlushResult:
        """Deliver what is queued, else keep it on disk or drop it, end the threads, close the exporter; once."""
        deadline = now() + timeout
        result = self._finish(_Request(deadline, close=True))
        for worker in (self._worker, self._keeper.worker):
            if worker.has_started:
                worker.wake()
                worker.join(deadline - now())
        if self._right_to_close.take():
            never_raises(self._exporter.close)()
        return result

    @property
    def where(self) -> str:
        """The destination, for messages."""
        return self._exporter.where

    @property
    def health(self) -> Health:
        """What became of spans."""
        return self.health_of(Signal.TRACES)

    def health_of(self, signal: Signal) -> Health:
        """What became of the items of one signal."""
        lane = self._lanes[signal]
        started, exported, dropped, spooled = lane.ledger.read()
        return Health(
            started=started,
            adopted=lane.ledger.adopted.value,
            exported=exported,
            sampled_out=self._sampled_out.value if signal is Signal.TRACES else 0,
            dropped=dropped,
            queue_spans=started - exported - sum(dropped.values()) - spooled,
            queue_bytes=self._room.bytes,
            queue_capacity=self._room.max_bytes,
            spool_spans=spooled,
            spool_bytes=lane.spool.bytes if lane.spool is not None else 0,
        )

    def _finish(self, request: _Request) -> FlushResult:
        if os.getpid() != self._pid:
            self.after_fork_in_child()  # a fork that Python was not told of
        before = self._result()
        deadline = request.deadline
        request.deadline -= self._keeper.reserve(deadline - now())
        self._deliver(request)
        if request.close:
            self._close()
        self._keeper.keep_all(max(deadline, now() + _LOOK_AFTER_WORKER), closing=request.close)
        if request.close:
            self._give_up()
            self._keeper.close()
        say()
        after = self._result()
        return FlushResult(
            exported=after.exported - before.exported,
            spooled=after.spooled,
            dropped=after.dropped - before.dropped,
            waiting=after.waiting,
        )

    def _result(self) -> FlushResult:
        healths = [self.health_of(signal) for signal in (Signal.TRACES, Signal.LOGS)]
        return FlushResult(
            exported=sum(health.exported for health in healths),
            spooled=sum(health.spool_spans for health in healths),
            dropped=sum(sum(health.dropped.values()) for health in healths),
            waiting=sum(health.queue_spans for health in healths),
        )

    def _deliver(self, request: _Request) -> None:
        """Let the thread serve the request; where none can run, as at the end of the interpreter, serve it here."""
        if self._has_work and not self._worker.is_current and self._worker.serves():
            self._requests.append(request)
            self._worker.wake()
            while not request.done.wait(min(_LOOK_AFTER_WORKER, max(0.0, request.deadline - now()))):
                if now() >= request.deadline:
                    return
                if not self._worker.serves():
                    break
        if not request.done.is_set():
            token = context.attach(suppressed())
            try:
                self._serve(request, time.sleep)
            finally:
                context.detach(token)

    @property
    def _has_work(self) -> bool:
        return bool(self._callbacks) or any(lane.ledger.goal > lane.ledger.finished.value for lane in self._lanes)

    def _close(self) -> None:
        for lane in self._lanes:
            lane.refuses = lane.refuses or "shutdown"
        self._closed = True

    def _give_up(self) -> None:
        lost = self._delivery.abandon("shutdown")
        if lost:
            self._delivery.complain(
                f"{lost} items were not delivered to {self._exporter.where} before the process ended"
            )

    # --- what the thread does -----------------------------------------------------------------------------------------

    def _turn(self) -> float | None:
        pause = self._work()
        if self._closed:
            return None
        return self._schedule_delay if pause is None else pause

    @never_raises
    def _work(self) -> float:
        self._schedule.stay_awake()
        self._keeper.wake()
        while self._requests:
            self._serve(self._requests.popleft(), self._worker.sleep)
        if not self._closed:
            self._callbacks.run_due()
            self._keeper.look()
            self._schedule.send_due(stop=lambda: bool(self._requests))
        say()
        pause = min(self._schedule.rest(), min(self._callbacks.next_due, self._keeper.next_look) - now())
        return 0.0 if self._requests else max(0.0, pause)

    def _serve(self, request: _Request, sleep: Callable[[float], object]) -> None:
        try:
            if not self._closed:
                self._callbacks.run_all(request.deadline)
            if request.close:
                self._close()
            self._drain(request, sleep)
        finally:
            say()
            request.done.set()

    def _drain(self, request: _Request, sleep: Callable[[float], object]) -> None:
        """Deliver what waits; at the end of the process also what others left, as long as there is time."""
        if self._worker.has_started:
            self._keeper.look(at_once=True)
        late = self._delivery.too_late(request.begin, request.deadline)
        self._delivery.drain(request.deadline, sleep, late)
        while request.close and now() < late and self._keeper.look(at_once=True):
            self._delivery.drain(request.deadline, sleep, late)

    # --- forks --------------------------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Wait, within bounds, until no request is in flight, where the exporter's library asks for it."""
        if self._exporter.quiet_before_fork and self._delivery.lock.acquire(timeout=_QUIET_BEFORE_FORK):
            self._quieted_by = get_ident()
        self._keeper.before_fork()

    def after_fork_in_parent(self) -> None:
        """Go on sending."""
        self._keeper.after_fork_in_parent()
        if self._quieted_by == get_ident():
            self._quieted_by = 0
            self._delivery.lock.release()

    def after_fork_in_child(self) -> None:
        """Start with an empty queue and no thread: what was queued is the parent's to send."""
        refused: list[Reason | None] = [lane.refuses for lane in self._lanes]
        self._quieted_by = 0
        self._keeper.leave_to_parent()
        self._start_over()
        self._callbacks.start_over()
        for lane, reason in zip(self._lanes, refused, strict=True):
            lane.refuses = reason
        self._exporter.after_fork()
