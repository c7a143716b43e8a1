"""The context of what was pulled last, from a queue or a broker: current until the next pull."""

import functools
import os
import sys
import threading
from contextvars import ContextVar
from typing import Final
from weakref import WeakSet

from opentelemetry.context import Context

from mmtrace.calls.call import Call
from mmtrace.calls.context import attached, current_context, here
from mmtrace.transport.lifetime import Ending

_WAITS_ELSEWHERE: Final = sys.version_info < (3, 12)
"""Whether `asyncio.wait_for` pulls in a task of its own."""


class _Pulled:
    """What was pulled last: the context that is current since, the one before, and the call that works on it.

    The context of the task or thread holds it, so that the call ends there if nothing is pulled after it.
    """

    __slots__ = ("__weakref__", "_before", "_call", "_context", "_place", "_waits")

    def __init__(self, context: Context, call: Call | None = None, *, waits: bool = False) -> None:
        self._before = current_context()
        self._context = context
        self._call = call
        self._place = _here()
        self._waits = waits
        attached(context).__enter__()

    def leave(self) -> None:
        """Make current what was so before, if that is still for us to decide; only in the task that pulled."""
        if self._place != _here():
            return
        if current_context() is self._context:
            attached(self._before).__enter__()
        self.end()

    def end(self) -> None:
        """End the call, unless this process is a fork, which has but a copy of it."""
        if self._call is not None and self._place[0] == os.getpid():
            self._call.end()

    def hand_over(self, context: Context, call: Call | None) -> bool:
        """Give to the task that waits for a pull what another one has pulled for it; False where none waits."""
        if not self._waits or self._place == _here():
            return False
        self._waits = False
        self._call = call
        dict.clear(self._context)
        dict.update(self._context, context)  # the very object that is current there
        return True

    def __del__(self) -> None:
        self.end()


_last: Final[ContextVar[_Pulled | None]] = ContextVar("mmtrace-pulled", default=None)
_worked_on: Final[WeakSet[_Pulled]] = WeakSet()


def enter_pulled(context: Context, call: Call | None = None) -> None:
    """Make the `context` of something that was pulled current until `leave_pulled`; what is attached later wins.

    `call`, where given, is the work on it: it ends then, or with the task, the thread or the process.
    """
    pulled = _last.get()
    if pulled is None or not pulled.hand_over(context, call):
        pulled = _Pulled(context, call)
        _last.set(pulled)
    if call is not None:
        _worked_on.add(pulled)
        _end_with_the_process()


def leave_pulled() -> None:
    """Make current what was so before the last pull; to be called when the next one begins.

    It is to be called in the task that waits: before Python 3.12 `wait_for()` goes on in another one.
    """
    pulled = _last.get()
    if pulled is not None:
        pulled.leave()
    in_task = _WAITS_ELSEWHERE and here() != threading.get_ident()
    _last.set(_Pulled(Context(current_context()), waits=True) if in_task else None)


def _here() -> tuple[int, int]:
    return os.getpid(), here()


@functools.cache
def _end_with_the_process() -> Ending:
    """End what is worked on at the end of the process, before its spans are sent for the last time."""
    return Ending(_end_all, 0.0)


def _end_all(timeout: float) -> None:
    for pulled in list(_worked_on):
        pulled.end()
