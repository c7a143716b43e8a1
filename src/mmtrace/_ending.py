"""The graceful end of a server, which may be the last moment that this process has.

A server that ends by raising its signal again runs no `atexit`. Its instrumentation calls `ending()` when the server
has answered its last request. A server that nobody taught to stop is killed where it waits: `serving()` stands around
that wait.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from signal import SIG_DFL, SIGTERM, getsignal
from signal import signal as handle
from typing import Final

from mmtrace._configure import flush
from mmtrace.recording.guard import never_raises

_callbacks: Final[list[Callable[[], object]]] = []


def before_the_end(callback: Callable[[], object]) -> None:
    """Call `callback` at the first graceful end of a server in this process."""
    _callbacks.append(callback)


@never_raises
def ending() -> None:
    """Deliver what is queued, as `flush()` does; the process may go on."""
    flush()
    while _callbacks:
        never_raises(_callbacks.pop())()


@contextmanager
def serving() -> Iterator[None]:
    """Return a block in which the main thread waits to be stopped: a SIGTERM that nobody handles delivers, then kills.

    Only a thread that waits may have such a handler: native code would delay it, and the death of the process with it.
    """
    ours = _handles_sigterm()
    try:
        yield
    finally:
        if ours and getsignal(SIGTERM) is _deliver_and_die:
            handle(SIGTERM, SIG_DFL)


@never_raises
def _handles_sigterm() -> bool:
    if threading.current_thread() is not threading.main_thread() or getsignal(SIGTERM) is not SIG_DFL:
        return False
    handle(SIGTERM, _deliver_and_die)
    return True


def _deliver_and_die(number: int, frame: object) -> None:
    handle(SIGTERM, SIG_DFL)
    ending()
    os.kill(os.getpid(), SIGTERM)
