"""Runs a wrapper around the original so that no fault of the wrapper can reach the caller.

Both forms of a wrapper (see `patch`) end here. The guarantee lies in who calls the original: for a generator it is this
module; for a function it is `_Once`, which remembers what the original did and gives it back when the wrapper fails.
"""

import inspect
from collections.abc import Callable, Coroutine, Generator
from types import CoroutineType
from typing import Any, Final

from mmtrace.patching.patch import Wrapper
from mmtrace.recording import guard

_Arguments = tuple[tuple[Any, ...], dict[str, Any]]
_Fault = Callable[[Exception], None]

_NOT_YET: Final = object()


def guarded(wrapper: Wrapper, target: str, *, awaits: bool) -> Wrapper:
    """Return a plain wrapper that does what `wrapper` does and lets none of its faults out.

    `awaits`: the original is a coroutine function, so that a generator is run inside the coroutine.
    """

    def fault(error: Exception) -> None:
        if guard.strict:
            raise error
        guard.report(f"wrapper of {target}", f"mmtrace: the wrapper of {target} failed: {error!r}", error)

    if not inspect.isgeneratorfunction(wrapper):
        return _calling(wrapper, fault)
    return _yielding_async(wrapper, fault) if awaits else _yielding(wrapper, fault)


def _yielding(wrapper: Wrapper, fault: _Fault) -> Wrapper:
    def around(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        run = _Run(wrapper(wrapped, instance, args, dict(kwargs)), fault)
        args, kwargs = run.before(args, kwargs)
        try:
            result = wrapped(*args, **kwargs)
        except BaseException as error:
            run.failed(error)
            raise
        return run.after(result)

    return around


def _yielding_async(wrapper: Wrapper, fault: _Fault) -> Wrapper:
    async def awaited(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        run = _Run(wrapper(wrapped, instance, args, dict(kwargs)), fault)
        args, kwargs = run.before(args, kwargs)
        try:
            result = await wrapped(*args, **kwargs)
        except BaseException as error:
            run.failed(error)
            raise
        return run.after(result)

    def around(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        _refuse_wrong_arguments(wrapped, args, kwargs)
        return awaited(wrapped, instance, args, kwargs)

    return around


def _refuse_wrong_arguments(wrapped: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raise TypeError at the call, as a coroutine function does, and not when its coroutine is awaited.

    A server that is given an application tries in this way whether it is a factory of applications.
    """
    code = getattr(wrapped, "__code__", None)
    if code is not None and code.co_flags & inspect.CO_COROUTINE:
        wrapped(*args, **kwargs).close()


class _Run:
    """One run of a generator wrapper: what comes before the original, and one of `failed` and `after`."""

    __slots__ = ("_fault", "_generator")

    def __init__(self, generator: Generator[Any, Any, Any], fault: _Fault) -> None:
        self._generator: Generator[Any, Any, Any] | None = generator
        self._fault = fault

    def before(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Arguments:
        """Run up to the yield; return the arguments of the original."""
        try:
            changed: _Arguments | None = next(self._generator)  # type: ignore[arg-type]
            if changed is None:
                return args, kwargs
            new_args, new_kwargs = changed
            return tuple(new_args), dict(new_kwargs)
        except StopIteration:
            self._generator = None
        except Exception as error:
            self._generator = None
            self._fault(error)
        return args, kwargs

    def failed(self, error: BaseException) -> None:
        """Tell the wrapper what the original raised; nothing that it does changes the exception."""
        if self._generator is None:
            return
        traceback = error.__traceback__
        try:
            self._generator.throw(error)
        except StopIteration:
            pass
        except BaseException as outcome:
            if outcome is not error and outcome.__cause__ is not error and isinstance(outcome, Exception):
                self._fault(outcome)
        finally:
            error.__traceback__ = traceback

    def after(self, result: Any) -> Any:
        """Give the wrapper the result; return what the caller gets."""
        if self._generator is None:
            return result
        try:
            self._generator.send(result)
            raise RuntimeError("a wrapper yields once")  # noqa: TRY301
        except StopIteration as stop:
            return result if stop.value is None else stop.value
        except Exception as error:
            self._fault(error)
        return result


def _calling(wrapper: Wrapper, fault: _Fault) -> Wrapper:
    def around(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        once = _Once(wrapped, args, kwargs)
        try:
            result = wrapper(once, instance, args, dict(kwargs))
        except BaseException as error:
            if error is once.error or not isinstance(error, Exception):
                raise
            fault(error)
        else:
            if type(result) is CoroutineType and result is not once.result:
                return once.awaiting(result, fault)
            if once.error is None:
                return result
        return once.settled()

    return around


class _Once:
    """The original as a wrapper sees it: it can be called, and what came of it is remembered."""

    __slots__ = ("_args", "_kwargs", "_outcome", "_wrapped", "called", "error", "result")

    def __init__(self, wrapped: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._wrapped = wrapped
        self._args = args
        self._kwargs = kwargs
        self._outcome: Any = _NOT_YET
        self.called = False
        self.result: Any = None
        self.error: BaseException | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.called = True
        try:
            result = self._wrapped(*args, **kwargs)
        except BaseException as error:
            self.error = error
            raise
        self.result = self._remembered(result) if type(result) is CoroutineType else result
        return self.result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    async def _remembered(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        try:
            self._outcome = await coroutine
        except BaseException as error:
            self.error = error
            raise
        return self._outcome

    def settled(self) -> Any:
        """Return or raise what the original did, after running it if it has not run."""
        if not self.called:
            return self._wrapped(*self._args, **self._kwargs)
        if self.error is not None:
            raise self.error
        return self.result

    async def awaiting(self, coroutine: Coroutine[Any, Any, Any], fault: _Fault) -> Any:
        """Await the wrapper's own coroutine under the same guarantee."""
        try:
            result = await coroutine
        except BaseException as error:
            if error is self.error or not isinstance(error, Exception):
                raise
            fault(error)
        else:
            if self.error is None:
                return result
        settled = self.settled() if self._outcome is _NOT_YET else self._outcome
        return await settled if type(settled) is CoroutineType else settled
