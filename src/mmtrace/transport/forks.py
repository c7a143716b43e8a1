"""The hooks through which pipelines survive a fork: quiet before it, unharmed in the parent, new in the child."""

import functools
import importlib
import os
import sys
from typing import Any, Final, Protocol
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


_UWSGI_TELLS: Final = frozenset({"py-call-osafterfork", "py-call-uwsgi-fork-hooks", "lazy", "lazy-apps"})

_living: Final[WeakSet[Forkable]] = WeakSet()


def watch(part: Forkable) -> None:
    """Call the hooks of `part` at every fork for as long as it lives."""
    _register()
    _living.add(part)


@functools.cache
def _register() -> None:
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
    _hear_of_the_forks_of_uwsgi()


@never_raises
def _hear_of_the_forks_of_uwsgi() -> None:
    """Let Python learn that the workers of uWSGI are forks, as it does by an option that hardly anybody sets."""
    uwsgi: Any = sys.modules.get("uwsgi")
    if uwsgi is None or not _UWSGI_TELLS.isdisjoint(uwsgi.opt):
        return
    was_forked = importlib.import_module("ctypes").pythonapi.PyOS_AfterFork_Child  # what `os.fork` calls in a child
    decorators: Any = sys.modules.get("uwsgidecorators")
    if decorators is not None:
        decorators.postfork_chain.insert(0, was_forked)
    else:
        before = getattr(uwsgi, "post_fork_hook", None)
        uwsgi.post_fork_hook = functools.partial(_worker_begins, was_forked, before)


def _worker_begins(was_forked: Any, before: Any) -> None:
    was_forked()
    if before is not None:
        before()


def _before() -> None:
    for part in list(_living):
        never_raises(part.before_fork)()


def _after_in_parent() -> None:
    for part in list(_living):
        never_raises(part.after_fork_in_parent)()


def _after_in_child() -> None:
    for part in list(_living):
        never_raises(part.after_fork_in_child)()
