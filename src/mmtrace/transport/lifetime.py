"""The end of a process: what waits is delivered once, before it is too late, within a deadline.

Three doors lead out of a Python process, and no process passes all of them. A normal end runs `atexit`, but children
that multiprocessing forks leave by `os._exit` before Python 3.13, after multiprocessing's own finalizers. Before
either, threads that are no daemons are joined, and what is queued by then can be sent meanwhile. A signal that nobody
handles, `os._exit` and a crash lead past all three.
"""

import atexit
import functools
import sys
import threading
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakSet

from mmtrace.recording.forks import at_fork
from mmtrace.recording.guard import never_raises
from mmtrace.transport.tally import Once

_LAST: Final = -100
"""The priority among multiprocessing's finalizers: after queues are flushed and children joined."""


class Ending:
    """Calls `shutdown(timeout)` when this process ends; each forked child calls it at its own end.

    `hurry`, where given, is called as soon as the main thread is done; it must not wait.
    """

    def __init__(
        self, shutdown: Callable[[float], object], timeout: float, hurry: Callable[[], object] | None = None
    ) -> None:
        self._shutdown = shutdown
        self._timeout = timeout
        self._hurry = hurry
        self._right = Once()
        self._finalizer: Any = None
        self._follows_multiprocessing = False
        atexit.register(self.end)
        self._register_finalizer()
        _hurry_before_threads_are_joined()
        _living.add(self)
        at_fork(self, in_child=Ending._register_finalizer)

    def end(self) -> None:
        """Call `shutdown`, unless that has happened in this process or was cancelled."""
        if self._right.take():
            never_raises(self._shutdown)(self._timeout)

    def cancel(self) -> None:
        """Do nothing at the end: somebody has shut down already."""
        self._right.take()
        atexit.unregister(self.end)
        if self._finalizer is not None:
            self._finalizer.cancel()

    def hurry(self) -> None:
        """Begin to send what waits, without waiting for it."""
        if not self._right.is_taken and self._hurry is not None:
            never_raises(self._hurry)()

    def _register_finalizer(self) -> None:
        """Join multiprocessing's finalizers, unless this process, or the parent it forked from, has ended."""
        util: Any = sys.modules.get("multiprocessing.util")
        if util is None or self._right.is_taken:
            return
        self._finalizer = util.Finalize(None, self.end, exitpriority=_LAST)
        if not self._follows_multiprocessing:  # a starting child clears all finalizers and then runs these
            self._follows_multiprocessing = True
            util.register_after_fork(self, Ending._register_finalizer)


_living: Final[WeakSet[Ending]] = WeakSet()


@functools.cache
def _hurry_before_threads_are_joined() -> None:
    try:
        threading._register_atexit(_hurry_all)  # type: ignore[attr-defined]
    except (AttributeError, RuntimeError):  # private, and refused once the process is ending
        pass


def _hurry_all() -> None:
    for ending in list(_living):
        ending.hurry()
