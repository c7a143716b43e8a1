"""The context of what was pulled last, from a queue or a broker: current until the next pull."""

import contextvars
import functools
import os
import sys
import threading
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, Final
from weakref import WeakSet

from opentelemetry.context import Context

from mmtrace.calls.call import Call
from mmtrace.calls.context import attached, current_context, here
from mmtrace.transport.lifetime import Ending

_WAITS_ELSEWHERE: Final = sys.version_info < (3, 12)
"""Whether `asyncio.wait_for` pulls in a task of its own."""


class _Pulled:
    """What was pulled last: the context that is current since, the one before, and the call that works on it.

    If nothing is pulled after it, the call ends with its task. A thread ends it by dropping it.
    """

    __slots__ = ("_before", "_call", "_context", "_place", "_waits")

    def __init__(self, context: Context, call: Call | None = None, *, waits: bool = False) -> None:
        self._before = current_context()
        self._context = context
        self._place = _here()
        self._waits = waits
        self._works_on(call)
        attached(context).__enter__()

    def _works_on(self, call: Call | None) -> None:
        self._call = call
        if call is not None:
            _open[call] = self._place
            _end_with_the_process()

    def leave(self) -> None:
        """Make current what was so before, if that is still for us to decide; only in the task that pulled."""
        if self._place != _here():
            return
        if current_context() is self._context:
            attached(self._before).__enter__()
        self.end()

    def end(self) -> None:
        """End the call, unless this process is a fork, which has but a copy of it."""
        call = self._call
        if call is not None and not call.ended and self._place[0] == os.getpid():
            _end((call,))

    def hand_over(self, context: Context, call: Call | None) -> bool:
        """Give to the task that waits for a pull what another one has pulled for it; False where none waits."""
        if not self._waits or self._place == _here():
            return False
        self._waits = False
        self._works_on(call)
        dict.clear(self._context)
        dict.update(self._context, context)  # the very object that is current there
        return True

    def __del__(self) -> None:
        self.end()


_last: Final[ContextVar[_Pulled | None]] = ContextVar("mmtrace-pulled", default=None)


def enter_pulled(context: Context, call: Call | None = None) -> None:
    """Make the `context` of something that was pulled current until `leave_pulled`; what is attached later wins.

    `call`, where given, is the work on it: it ends then, or with the task, the thread or the process.
    """
    pulled = _last.get()
    if pulled is None or not pulled.hand_over(context, call):
        _last.set(_Pulled(context, call))


def leave_pulled() -> None:
    """Make current what was so before the last pull; to be called when the next one begins.

    It is to be called in the task that waits: before Python 3.12 `wait_for()` goes on in another one.
    """
    pulled = _last.get()
    if pulled is not None:
        pulled.leave()
    task = _task()
    if task is not None:
        _end_with(task)
    waits = task is not None and _WAITS_ELSEWHERE
    _last.set(_Pulled(Context(current_context()), waits=True) if waits else None)


def _here() -> tuple[int, int]:
    return os.getpid(), here()


def _task() -> Any:
    """Return the running asyncio task, None in a thread."""
    return None if here() == threading.get_ident() else sys.modules["asyncio"].current_task()


# --- ends -----------------------------------------------------------------------------------------------------------

_open: Final[dict[Call, tuple[int, int]]] = {}
"""The calls that work on what was pulled, and the process and the task or thread in which that was."""
_watched: Final[WeakSet[Any]] = WeakSet()


def _end_with(task: Any) -> None:
    if task not in _watched:
        _watched.add(task)
        task.add_done_callback(_end_of_task, context=contextvars.Context())


def _end_of_task(task: Any) -> None:
    _end(call for call, place in _open.copy().items() if place == (os.getpid(), id(task)))


@functools.cache
def _end_with_the_process() -> Ending:
    """End what is worked on at the end of the process, before its spans are sent for the last time."""
    return Ending(_end_of_process, 0.0)


def _end_of_process(timeout: float) -> None:
    _end(call for call, place in _open.copy().items() if place[0] == os.getpid())


def _end(calls: Iterable[Call]) -> None:
    for call in calls:
        _open.pop(call, None)
        call.end()
