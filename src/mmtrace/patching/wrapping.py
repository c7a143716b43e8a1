"""The objects that stand in a library's place: wrapt's function wrappers, made to pickle and copy as functions do.

A function is pickled by its name and a bound method by its object and name, so that `pool.submit(model.predict, x)`
still works, in a process that is patched as well as in one that is not.
"""

import copy
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import wrapt

from mmtrace.patching.patch import Wrapper


def look_up(target: str) -> Any:
    """Return what `module:path` names in this process; pickles of patched functions come back through it."""
    module, _, path = target.partition(":")
    found: Any = import_module(module)
    for name in path.split(".") if path else ():
        found = getattr(found, name)
    return found


def _by_name(target: str, wrapper: Any) -> str | tuple[Any, ...]:
    """Return a reduction of the function at `target` that, where possible, names nothing of mmtrace."""
    owner, dot, name = target.rpartition(".")
    if dot and ":" in owner:
        return getattr, (look_up(owner), name)
    name = str(wrapper.__qualname__)
    if getattr(sys.modules.get(wrapper.__module__), name, None) is wrapper:
        return name
    return look_up, (target,)


class BoundWrapper(wrapt.BoundFunctionWrapper):  # type: ignore[misc, type-arg, unused-ignore]
    """A patched method as it was looked up on an object or a class."""

    def __reduce_ex__(self, protocol: Any) -> str | tuple[Any, ...]:
        function: FunctionWrapper = self._self_parent
        if self._self_instance is None:
            return _by_name(function._self_target, function)
        return getattr, (self._self_instance, function._self_name)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if self._self_instance is None:
            return self
        return getattr(copy.deepcopy(self._self_instance, memo), self._self_parent._self_name)


class FunctionWrapper(wrapt.FunctionWrapper):  # type: ignore[misc, type-arg, unused-ignore]
    """A patched function: `wrapper` runs around it while `is_on` says so; `declared` is the wrapper of its patch."""

    __bound_function_wrapper__ = BoundWrapper

    def __init__(
        self, original: Any, wrapper: Wrapper, target: str, is_on: Callable[[], bool], declared: Wrapper
    ) -> None:
        super().__init__(original, wrapper, is_on)
        self._self_declared = declared
        self._self_is_on = is_on
        self._self_target = target
        self._self_name = target.rpartition(".")[2].rpartition(":")[2]

    def _self_is_declared_by(self, wrapper: Wrapper | None) -> bool:
        """Whether it stands here for `wrapper` and works."""
        return self._self_declared is wrapper and bool(self._self_is_on())

    def __reduce_ex__(self, protocol: Any) -> str | tuple[Any, ...]:
        return _by_name(self._self_target, self)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self
