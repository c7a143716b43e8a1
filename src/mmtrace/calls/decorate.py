"""One decorator for functions, coroutines, generators and async generators.

The result is a function of the same kind: `inspect` sees a coroutine function where there was one, frameworks find the
signature, and pickle finds it by its name.
"""

import functools
import inspect
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any, Protocol, TypeVar, cast

from opentelemetry.context import Context

from mmtrace.calls.call import Call
from mmtrace.calls.context import current_context
from mmtrace.calls.stream import drive, drive_async

_F = TypeVar("_F", bound=Callable[..., Any])


class Begin(Protocol):
    """Starts the call that one invocation is; returns None where it is but a part of an open one."""

    def __call__(self, parent: Context, /) -> Call | None:
        """Start the call under `parent`."""


def traced(begin: Begin) -> Callable[[_F], _F]:
    """Return a decorator whose functions run as the calls that `begin` starts.

    Class methods, static methods and partial functions stay what they are; the function inside is decorated. An object
    that can be called is decorated as its `__call__` is. The decorator raises TypeError for what cannot be called.
    """

    def decorate(function: _F) -> _F:
        return cast("_F", _decorated(function, begin))

    return decorate


def _decorated(function: Any, begin: Begin) -> Any:
    if isinstance(function, (classmethod, staticmethod)):
        return type(function)(_decorated(function.__func__, begin))
    if not callable(function):
        raise TypeError(f"a {type(function).__name__} cannot be traced: decorate the function itself, below it")
    if isinstance(function, functools.partial):
        inner = functools.partial(_decorated(function.func, begin), *function.args, **function.keywords)
        vars(inner).update(vars(function))
        return inner
    if _is(inspect.isasyncgenfunction, function):
        return _StreamFunction(function, lambda parent, made: drive_async(lambda: begin(parent), made))
    if _is(inspect.isgeneratorfunction, function):
        return _StreamFunction(function, lambda parent, made: drive(lambda: begin(parent), made))
    return (_coroutine if _is(inspect.iscoroutinefunction, function) else _function)(function, begin)


def _is(kind: Callable[[Any], bool], function: Any) -> bool:
    """Return whether a function is of this kind, or an object whose `__call__` is."""
    return kind(function) or kind(type(function).__call__)


def _function(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    @functools.wraps(function)
    def call_function(*args: Any, **kwargs: Any) -> Any:
        call = begin(current_context())
        if call is None:
            return function(*args, **kwargs)
        try:
            with call.step():
                result = function(*args, **kwargs)
        except BaseException as error:
            call.end(error)
            raise
        call.end()
        return result

    return call_function


def _coroutine(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    @functools.wraps(function)
    async def call_coroutine(*args: Any, **kwargs: Any) -> Any:
        call = begin(current_context())
        if call is None:
            return await function(*args, **kwargs)
        try:
            with call.step():
                result = await function(*args, **kwargs)
        except BaseException as error:
            call.end(error)
            raise
        call.end()
        return result

    return call_coroutine


class _StreamFunction:
    """A generator function, to whoever asks, whose generators are driven step by step.

    An ordinary wrapper could not be both a generator function and the maker of the generator that it returns, and
    only the maker can tell a generator that was closed from one that was dropped.
    """

    def __init__(self, function: Callable[..., Any], driven: Callable[[Context, Any], Any]) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._driven = driven

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._driven(current_context(), self._function(*args, **kwargs))

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    @property
    def __class__(self) -> type:
        return FunctionType

    @__class__.setter
    def __class__(self, value: type) -> None:
        raise TypeError("the class of a traced generator function is fixed")

    def __getattr__(self, name: str) -> Any:
        function = self.__dict__["_function"]
        return getattr(function if hasattr(function, name) else function.__call__, name)

    def __reduce__(self) -> str:
        return self._function.__qualname__

    def __repr__(self) -> str:
        return f"<traced {self._function!r}>"
