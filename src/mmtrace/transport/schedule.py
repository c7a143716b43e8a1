"""When to send: a while after something came, at once where it fills a batch, and again when a retry is due."""

import math
from collections.abc import Callable, Sequence

from mmtrace.transport.clock import now
from mmtrace.transport.delivery import Delivery
from mmtrace.transport.lane import NEVER, Lane
from mmtrace.transport.tally import Room


class Schedule:
    """Belongs to the thread of a pipeline; others only call `hurry`. `delay`: how long the oldest item waits."""

    def __init__(self, delivery: Delivery, lanes: Sequence[Lane], room: Room, delay: float) -> None:
        self._delivery = delivery
        self._lanes = lanes
        self._room = room
        self._delay = delay
        self._due = math.inf
        self._hurried = False

    def hurry(self) -> None:
        """Send at the next turn what waits by then."""
        self._hurried = True

    def stay_awake(self) -> None:
        """Ask nobody to wake the thread: it is awake."""
        self._listen(lambda _: NEVER, NEVER)

    def send_due(self, stop: Callable[[], bool]) -> None:
        """Send what is due; ends early where `stop` says so."""
        if self._due == math.inf and self._delivery.is_ready():
            self._due = now() + self._delay
        due = self._hurried or now() >= self._due
        if due or self._is_urgent():
            self._hurried = False
            # Where nothing but a full batch hurries, what is left over waits for company.
            self._delivery.send_ready(stop if due else lambda: stop() or not self._is_urgent())
            self._due = now() + self._delay if self._delivery.is_ready() else math.inf

    def rest(self) -> float:
        """Say what shall wake the thread, look once more, and return how many seconds it may sleep."""
        moment, retry = now(), self._delivery.next_retry()
        waking = 1 if self._due == math.inf else self._delivery.max_items
        self._listen(
            lambda lane: NEVER if lane.resume_at > moment else waking,
            NEVER if retry > moment else self._delivery.max_bytes,
        )
        unseen = self._due == math.inf and self._delivery.is_ready()
        if unseen or self._hurried or self._is_urgent():
            return 0.0
        return max(0.0, min(self._due, retry if retry > moment else math.inf) - moment)

    def _listen(self, items: Callable[[Lane], int], size: int) -> None:
        for lane in self._lanes:
            lane.wake_at = items(lane)
        self._room.wake_bytes = size

    def _is_urgent(self) -> bool:
        full = self._room.bytes >= self._delivery.max_bytes and self._delivery.next_retry() <= now()
        return full or self._delivery.is_urgent()
