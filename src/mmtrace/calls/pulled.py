"""The context of what was pulled last, from a queue or a broker: current until the next pull."""

from contextvars import ContextVar
from typing import Final

from opentelemetry.context import Context

from mmtrace.calls.context import attached, current_context

_last: Final[ContextVar[tuple[Context, Context] | None]] = ContextVar("mmtrace-pulled", default=None)
"""What was pulled last in this thread or task, and the context in which that happened."""


def enter_pulled(context: Context) -> None:
    """Make the `context` of something that was pulled current until `leave_pulled`; what is attached later wins."""
    _last.set((context, current_context()))
    attached(context).__enter__()


def leave_pulled() -> None:
    """Make current what was so before the last pull; to be called when the next one begins."""
    last = _last.get()
    if last is None:
        return
    _last.set(None)
    pulled, before = last
    if current_context() is pulled:
        attached(before).__enter__()
