"""A span that is current for the time of a block or a function."""

import functools
import inspect
from collections.abc import Callable
from contextvars import Token
from types import TracebackType
from typing import Any, Final, TypeVar

from opentelemetry.context.context import Context
from opentelemetry.trace import Span, Status, StatusCode

from mmtrace.recording.current import attach, current, detach, with_span
from mmtrace.recording.exceptions import exception_message

_F = TypeVar("_F", bound=Callable[..., Any])


class CurrentSpan:
    """Starts a span with `start(*args)`, makes it current, and ends it at the end of the block.

    As a decorator it does so for each call of a function or coroutine function. An Exception that leaves the block is
    recorded; what is no error (GeneratorExit, CancelledError, KeyboardInterrupt) only ends the span.
    """

    __slots__ = ("_args", "_end_on_exit", "_record", "_set_status", "_span", "_start", "_token")

    def __init__(
        self, start: Callable[..., Span], args: tuple[Any, ...], *, record: bool, set_status: bool, end_on_exit: bool
    ) -> None:
        self._start: Final = start
        self._args: Final = args
        self._record: Final = record
        self._set_status: Final = set_status
        self._end_on_exit: Final = end_on_exit
        self._span: Span | None = None
        self._token: Token[Context] | None = None

    def __enter__(self) -> Span:
        span = self._span = self._start(*self._args)
        self._token = attach(with_span(span, current()))
        return span

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        span, token = self._span, self._token
        if span is None or token is None:
            return
        detach(token)
        if isinstance(exc_val, Exception) and span.is_recording():
            self._fail(span, exc_val)
        if self._end_on_exit:
            span.end()

    def _fail(self, span: Span, error: Exception) -> None:
        if self._record:
            span.record_exception(error)
        if self._set_status:
            said = f"{type(error).__name__}: {exception_message(error)}"
            span.set_status(Status(StatusCode.ERROR, said))

    def _again(self) -> "CurrentSpan":
        return CurrentSpan(
            self._start, self._args, record=self._record, set_status=self._set_status, end_on_exit=self._end_on_exit
        )

    def __call__(self, function: _F) -> _F:
        """Return `function` with a span of its own around each call."""

        @functools.wraps(function)
        def within(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)

        @functools.wraps(function)
        async def awaited_within(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return await function(*args, **kwargs)

        return awaited_within if inspect.iscoroutinefunction(function) else within  # type: ignore[return-value]
