"""The hooks through which pipelines survive a fork: quiet before it, unharmed in the parent, new in the child."""

import functools
import os
from typing import Final, Protocol
from weakref import WeakSet

from mmtrace.recording.guard import never_raises


class Forkable(Protocol):
    """Something that a fork concerns."""

    def before_fork(self) -> None:
        """Come to rest, within a bounded time."""

    def after_fork_in_parent(self) -> None:
        """Go on."""

    def after_fork_in_child(self) -> None:
        """Start over: no thread of the parent exists here, and its locks may be held for ever."""


_living: Final[WeakSet[Forkable]] = WeakSet()


def watch(part: Forkable) -> None:
    """Call the hooks of `part` at every fork for as long as it lives."""
    _register()
    _living.add(part)


@functools.cache
def _register() -> None:
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)


def _before() -> None:
    for part in list(_living):
        never_raises(part.before_fork)()


def _after_in_parent() -> None:
    for part in list(_living):
        never_raises(part.after_fork_in_parent)()


def _after_in_child() -> None:
    for part in list(_living):
        never_raises(part.after_fork_in_child)()
