"""Work that a pipeline's thread does from time to time: snapshots of metrics."""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

from mmtrace.recording.guard import never_raises
from mmtrace.transport.clock import now
from mmtrace.transport.native import allocate_lock


@dataclass(slots=True)
class _Callback:
    """What to call, how often, and when it is due next."""

    seconds: float
    call: Callable[[], object]
    due: float


class Callbacks:
    """Callbacks with their periods in seconds; run by one thread at a time."""

    def __init__(self) -> None:
        self._callbacks: list[_Callback] = []
        self._lock = allocate_lock()

    def __bool__(self) -> bool:
        return bool(self._callbacks)

    def add(self, seconds: float, call: Callable[[], object]) -> None:
        """Call `call` every so many seconds, for the first time then."""
        self._callbacks.append(_Callback(seconds, call, now() + seconds))

    def start_over(self) -> None:
        """Begin all periods anew, in a child that no other thread of the parent came with."""
        self._lock = allocate_lock()
        for callback in self._callbacks:
            callback.due = now() + callback.seconds

    @property
    def next_due(self) -> float:
        """When the next one is due; infinity where there is none."""
        return min((callback.due for callback in self._callbacks), default=math.inf)

    def run_due(self) -> None:
        """Run those whose time has come."""
        self._run(now(), math.inf)

    def run_all(self, deadline: float) -> None:
        """Run every one, unless another thread is still at it at the deadline."""
        self._run(math.inf, deadline)

    def _run(self, moment: float, deadline: float) -> None:
        patience = min(max(0.0, deadline - now()), threading.TIMEOUT_MAX)
        if not self._callbacks or not self._lock.acquire(timeout=patience):
            return
        try:
            for callback in self._callbacks:
                if callback.due <= moment:
                    callback.due = now() + callback.seconds
                    never_raises(callback.call)()
        finally:
            self._lock.release()
