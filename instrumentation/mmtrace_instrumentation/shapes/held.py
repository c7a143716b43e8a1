"""Streams that a library keeps alive although their caller has dropped them: their calls end all the same."""

from collections.abc import Generator
from contextvars import ContextVar
from typing import Any, Final

import wrapt

from mmtrace.instrumenting import Call, suppressed

_Proxy: Any = getattr(wrapt, "BaseObjectProxy", wrapt.ObjectProxy)

_calls: Final[ContextVar[list[Call] | None]] = ContextVar("mmtrace-held-calls", default=None)


def until_dropped(
    wrapped: Any, stub: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Generator[None, Any, "HeldStream | None"]:
    """Wrapper of a function that starts an asynchronous stream and keeps it alive although its caller may drop it."""
    calls: list[Call] = []
    token = _calls.set(calls)
    try:
        stream = yield
    finally:
        _calls.reset(token)
    return None if suppressed() else HeldStream(stream, calls)


def hold(call: Call) -> None:
    """Let `call` end when the caller drops the stream that is being started."""
    if (calls := _calls.get()) is not None:
        calls.append(call)


class HeldStream(_Proxy):  # type: ignore[misc]  # wrapt is untyped here
    """The stream of a library as its caller holds it: its calls end when nobody holds it any more."""

    def __init__(self, stream: Any, calls: list[Call]) -> None:
        super().__init__(stream)
        self._self_calls = calls
        self._self_responses: Any = None

    def __aiter__(self) -> "HeldStream":
        return self

    async def __anext__(self) -> Any:
        if self._self_responses is None:
            self._self_responses = aiter(self.__wrapped__)
        return await anext(self._self_responses)

    def __del__(self) -> None:
        for call in self._self_calls:
            call.end(outcome="cancelled")
