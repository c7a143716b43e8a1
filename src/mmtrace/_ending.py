"""The graceful end of a server, which may be the last moment that this process has.

A server that ends by raising its signal again runs no `atexit`. Its instrumentation calls `ending()` when the server
has answered its last request.
"""

from collections.abc import Callable
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
