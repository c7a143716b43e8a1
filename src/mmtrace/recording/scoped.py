"""A span that is current for the time of a block or a function."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextvars import Token
from types import TracebackType
from typing import Any, TypeVar

from opentelemetry import trace
from opentelemetry.context.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode

from mmtrace.recording.current import attach, current, detach, with_span
from mmtrace.recording.exceptions import exception_message
from mmtrace.spans import AttributeValue

_F = TypeVar("_F", bound=Callable[..., Any])


class CurrentSpan:
    """Starts a span of `tracer`, makes it current, and ends it at the end of the block.

    As a decorator it does so for each call of a function or coroutine function. An Exception that leaves the block is
    recorded; what is no error (GeneratorExit, CancelledError, KeyboardInterrupt) only ends the span.
    """

    __slots__ = ("_args", "_end_on_exit", "_span", "_token", "_tracer")

    def __init__(self, tracer: trace.Tracer, args: tuple[Any, ...], end_on_exit: bool) -> None:  # noqa: FBT001
        self._tracer = tracer
        self._args = args
        self._end_on_exit = end_on_exit

    def __enter__(self) -> Span:
        span = self._span = self._tracer.start_span(*self._args)
        self._token: Token[Context] = attach(with_span(span, current()))
        return span

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        detach(self._token)
        if exc_val is not None and isinstance(exc_val, Exception) and self._span.is_recording():
            self._fail(self._span, exc_val)
        if self._end_on_exit:
            self._span.end()

    def _fail(self, span: Span, error: Exception) -> None:
        *_, record_exception, set_status_on_exception = self._args
        if record_exception:
            span.record_exception(error)
        if set_status_on_exception:
            span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {exception_message(error)}"))

    def __call__(self, function: _F) -> _F:
        """Return `function` with a span of its own around each call."""

        @functools.wraps(function)
        def within(*args: Any, **kwargs: Any) -> Any:
            with CurrentSpan(self._tracer, self._args, self._end_on_exit):
                return function(*args, **kwargs)

        @functools.wraps(function)
        async def awaited_within(*args: Any, **kwargs: Any) -> Any:
            with CurrentSpan(self._tracer, self._args, self._end_on_exit):
                return await function(*args, **kwargs)

        return awaited_within if inspect.iscoroutinefunction(function) else within  # type: ignore[return-value]


class TracerWithBlocks(trace.Tracer):
    """A tracer whose `start_as_current_span` stands on its `start_span`."""

    def start_as_current_span(  # type: ignore[override]
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, AttributeValue] | None = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,  # noqa: FBT001, FBT002
        set_status_on_exception: bool = True,  # noqa: FBT001, FBT002
        end_on_exit: bool = True,  # noqa: FBT001, FBT002
    ) -> CurrentSpan:
        """Return a span for a `with` block or a decorated function: current inside, ended at its end."""
        args = (name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception)
        return CurrentSpan(self, args, end_on_exit)
