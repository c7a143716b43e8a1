"""The one way in which the stateful parts of a process go through a fork: quiet before it, new in the child.

As with `os.register_at_fork`, the part that came last comes to rest first, and the one that came first goes on first;
unlike there, a part that nobody needs any more is forgotten.
"""

import itertools
import os
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any, Final, NamedTuple, TypeVar
from weakref import ref

from mmtrace.recording.guard import never_raises

_P = TypeVar("_P")


class _Hooks(NamedTuple):
    part: "ref[Any]"
    before: Callable[[Any], object] | None
    in_parent: Callable[[Any], object] | None
    in_child: Callable[[Any], object] | None


_hooks: Final[dict[int, _Hooks]] = {}
_numbers: Final = itertools.count()


def at_fork(
    part: _P,
    *,
    before: Callable[[_P], object] | None = None,
    in_parent: Callable[[_P], object] | None = None,
    in_child: Callable[[_P], object] | None = None,
) -> None:
    """Call these methods of `part` at every fork of this process and of its children, for as long as `part` lives.

    Args:
        part: what a fork concerns.
        before: comes to rest, within a bounded time.
        in_parent: goes on.
        in_child: starts over: no thread of the parent exists here, and its locks may be held for ever.
    """
    _register()
    number = next(_numbers)
    forget = partial(_hooks.pop, number)  # no name of this module, which may be gone before the part
    _hooks[number] = _Hooks(ref(part, forget), before, in_parent, in_child)


@cache
def _register() -> None:
    os.register_at_fork(
        before=lambda: _tell("before", reversed(list(_hooks.values()))),
        after_in_parent=lambda: _tell("in_parent", list(_hooks.values())),
        after_in_child=lambda: _tell("in_child", list(_hooks.values())),
    )


def _tell(moment: str, all_hooks: Iterable[_Hooks]) -> None:
    living = [(hooks.part(), getattr(hooks, moment)) for hooks in all_hooks]  # also what another part lets go of now
    for part, hook in living:
        if part is not None and hook is not None:
            never_raises(hook)(part)
