"""uWSGI forks its workers in C, and Python learns of it only by an option that hardly anybody sets."""

import _imp
import functools
import importlib
import sys
from typing import Any, Final

from mmtrace.recording.guard import never_raises

_TELLS: Final = frozenset({"py-call-osafterfork", "py-call-uwsgi-fork-hooks", "lazy", "lazy-apps"})


@never_raises
def hear_of_forks() -> None:
    """Let Python learn that the workers of uWSGI are forks, where this process is uWSGI and does not tell."""
    uwsgi: Any = sys.modules.get("uwsgi")
    if uwsgi is None or not _TELLS.isdisjoint(uwsgi.opt):
        return
    was_forked = functools.partial(_was_forked, importlib.import_module("ctypes").pythonapi)
    decorators: Any = sys.modules.get("uwsgidecorators")
    if decorators is not None:
        decorators.postfork_chain.insert(0, was_forked)
    else:
        before = getattr(uwsgi, "post_fork_hook", None)
        uwsgi.post_fork_hook = functools.partial(_worker_begins, was_forked, before)


def _was_forked(python: Any) -> None:
    """Do what `os.fork` does in a child."""
    if sys.version_info >= (3, 13):
        _imp.acquire_lock()  # `os.fork` took it before: what is called next lets go of it, as only its holder may
    python.PyOS_AfterFork_Child()


def _worker_begins(was_forked: Any, before: Any) -> None:
    was_forked()
    if before is not None:
        before()
