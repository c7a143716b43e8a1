"""Starts `mmtrace.auto` in every interpreter under `mmtrace run`; imported by a `.pth` file when MMTRACE_AUTO is 1.

A `.pth` file runs while `sys.path` still grows. The last thing that the interpreter does before the program is to look
for `sitecustomize`, whether there is one or not: that is the moment, and whatever customizes the site runs after it as
ever. Nothing here raises: a program whose telemetry cannot start runs without.
"""

import importlib
import sys
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import Final

_LAST: Final = "sitecustomize"
_CLEANER: Final = "from multiprocessing.resource_tracker import "
"""How the helper process begins in which nothing runs that could be traced."""


class _Starter(MetaPathFinder):
    """Finds nothing, and starts mmtrace when it is asked for the last module of the site."""

    def find_spec(self, fullname: str, path: object, target: ModuleType | None = None) -> None:
        """Return None, so that the other finders are asked."""
        if fullname == _LAST:
            sys.meta_path.remove(self)
            start()


def start() -> None:
    """Import `mmtrace.auto`; a fault is logged and changes nothing for the program."""
    try:
        importlib.import_module("mmtrace.auto")
    except Exception as error:
        guard = importlib.import_module("mmtrace.recording.guard")
        guard.report("mmtrace.auto", f"mmtrace: this process is not traced: {error}")
        guard.say()


def start_when_ready() -> None:
    """Start as soon as the site is complete."""
    if any(argument.startswith(_CLEANER) for argument in sys.orig_argv):
        return
    if _LAST in sys.modules:
        start()
    else:
        sys.meta_path.insert(0, _Starter())
