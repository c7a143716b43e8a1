"""What a process that begins with nothing gets from its parent: the arguments of `configure()`, and `instrument()`.

A spawned process, or one of a fork server, runs neither. The function that it is to run is pickled behind what it
inherits, so that the process is configured and its libraries are patched before that function's modules are imported.
"""

import pickle
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from mmtrace import _configure
from mmtrace.recording.guard import never_raises, report

Arguments: TypeAlias = Mapping[str, Any]


class Inheriting:
    """A function; unpickled in another process, it brings the configuration of this one along."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self._function(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (_Inheritance(_arguments()), self._function)


class _Inheritance:
    """Configures the process that unpickles it; a class of its own, because it must come before the function does."""

    __slots__ = ("_arguments",)

    def __init__(self, arguments: Arguments | None) -> None:
        self._arguments = arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return _inherit, (self._arguments,)


def _arrived(inherited: None, function: Callable[..., Any]) -> Inheriting:
    return Inheriting(function)


@never_raises
def _arguments() -> Arguments | None:
    """Return the arguments of `configure()`, or None where it was not called or they cannot be sent."""
    given = _configure.arguments()
    if given is None:
        return None
    unsent = [name for name, value in given.items() if not _pickles(value)]
    if unsent:
        listed = ", ".join(unsent)
        report("children", f"mmtrace: processes that are started do not record: {listed} cannot be pickled")
        return None
    return given


def _pickles(value: Any) -> bool:
    try:
        return bool(pickle.dumps(value))
    except Exception:
        return False


@never_raises
def _inherit(arguments: Arguments | None) -> None:
    present = _configure.arguments()
    if arguments is not None and (present is None or not arguments.items() <= present.items()):
        _configure.configure(**arguments)
    _configure.instrument()
