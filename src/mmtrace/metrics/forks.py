"""The one hook through which the stateful parts of this package start over in a forked child."""

import functools
import os
import weakref
from typing import Final, Protocol


class Restartable(Protocol):
    """Something that goes back to the state of a new process."""

    def start_over(self) -> None:
        """Forget everything, locks included: the threads that held them do not exist here."""


_instances: Final["weakref.WeakSet[Restartable]"] = weakref.WeakSet()


def start_over_in_children(part: Restartable) -> None:
    """Let `part` start over in every child that this process forks, for as long as it lives."""
    _register()
    _instances.add(part)


@functools.cache
def _register() -> None:
    os.register_at_fork(after_in_child=_start_over)


def _start_over() -> None:
    for part in list(_instances):
        part.start_over()
