"""uWSGI forks its workers in C, and Python learns of it only by an option that hardly anybody sets."""

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
