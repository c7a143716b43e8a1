"""Work that runs somewhere else: its context follows it into another thread or another process.

Nothing is recorded here. A library file says which argument of which method is the work:

    Patch("concurrent.futures.thread:ThreadPoolExecutor.submit", task.submitting("fn"))
"""

import inspect
from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import Any, TypeAlias

from mmtrace.instrumenting import Context, attached, current_context, extract, inject

Arguments: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]
Wrapper: TypeAlias = Callable[[Any, Any, tuple[Any, ...], dict[str, Any]], Generator[Arguments, Any, None]]


class Carried:
    """A function that runs in the context in which it was carried off, also in the process that it is pickled into."""

    __slots__ = ("_context", "_function")

    def __init__(self, function: Callable[..., Any], context: Context) -> None:
        self._function = function
        self._context = context

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function in its context."""
        with attached(self._context):
            return self._function(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_function"), name)

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self._function, inject({}, self._context))


def _arrived(function: Callable[..., Any], fields: Mapping[str, str]) -> Carried:
    return Carried(function, extract(fields))


def carried(work: Any) -> Any:
    """Return `work` so that it runs in the current context; what is no function stays what it is."""
    if not callable(work) or isinstance(work, Carried) or inspect.iscoroutinefunction(work):
        return work
    return Carried(work, current_context())


def carrying(name: str, position: int = 0) -> Wrapper:
    """Return the wrapper of a method whose argument `name`, at `position`, is the work."""
    return partial(_carry, name, position)


def submitting(name: str, position: int = 0) -> Wrapper:
    """Return what `carrying` does, for a method that may start workers: these belong to no task, so to no context."""
    return partial(_submit, name, position)


def _carry(
    name: str, position: int, wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Generator[Arguments, Any, None]:
    yield _with_work_carried(name, position, args, kwargs)


def _submit(
    name: str, position: int, wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Generator[Arguments, Any, None]:
    changed = _with_work_carried(name, position, args, kwargs)
    with attached(Context()):
        yield changed


def _with_work_carried(name: str, position: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    if len(args) > position:
        return (*args[:position], carried(args[position]), *args[position + 1 :]), kwargs
    return args, {**kwargs, name: carried(kwargs[name])} if name in kwargs else kwargs
