"""Streams that a library hands out: proxies of its own object that end the call with the stream.

Everything but iteration passes through to the library's object, so that its `cancel()`, `code()` or `response` stay.
This module loads wrapt: only instrumentations need it.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import wrapt

from mmtrace.calls.call import Call
from mmtrace.calls.stream import Stream

_Proxy: Any = getattr(wrapt, "BaseObjectProxy", wrapt.ObjectProxy)


class TracedIterator(_Proxy):  # type: ignore[misc]  # wrapt is untyped here
    """An iterator whose items are steps of a call."""

    def __init__(self, call: Call, wrapped: Any) -> None:
        super().__init__(wrapped)
        self._self_stream = Stream(call)
        self._self_iterator: Any = None

    def __iter__(self) -> "TracedIterator":
        return self

    def __next__(self) -> Any:
        return self._self_stream.item(self._self_next)

    def _self_next(self) -> Any:
        return next(self._self_source())

    def _self_source(self) -> Any:
        if self._self_iterator is None:
            self._self_iterator = iter(self.__wrapped__)
        return self._self_iterator

    def close(self) -> Any:
        """Close the library's stream, and end the call as closed."""
        try:
            with self._self_stream.call.step():
                return self.__wrapped__.close()
        finally:
            self._self_stream.end("closed")

    def __enter__(self) -> Any:
        entered = self.__wrapped__.__enter__()
        return self if entered is self.__wrapped__ else entered

    def __exit__(self, *error: Any) -> Any:
        try:
            return self.__wrapped__.__exit__(*error)
        finally:
            self._self_stream.end("closed")


class TracedAsyncIterator(_Proxy):  # type: ignore[misc]  # wrapt is untyped here
    """An async iterator whose items are steps of a call."""

    def __init__(self, call: Call, wrapped: Any) -> None:
        super().__init__(wrapped)
        self._self_stream = Stream(call)
        self._self_iterator: Any = None

    def __aiter__(self) -> "TracedAsyncIterator":
        return self

    async def __anext__(self) -> Any:
        return await self._self_stream.item_later(self._self_next)

    async def _self_next(self) -> Any:
        return await anext(self._self_source())

    def _self_source(self) -> Any:
        if self._self_iterator is None:
            self._self_iterator = aiter(self.__wrapped__)
        return self._self_iterator

    async def aclose(self) -> Any:
        """Close the library's stream, and end the call as closed."""
        try:
            with self._self_stream.call.step():
                return await self.__wrapped__.aclose()
        finally:
            self._self_stream.end("closed")

    async def __aenter__(self) -> Any:
        entered = await self.__wrapped__.__aenter__()
        return self if entered is self.__wrapped__ else entered

    async def __aexit__(self, *error: Any) -> Any:
        try:
            return await self.__wrapped__.__aexit__(*error)
        finally:
            self._self_stream.end("closed")


def traced_iterator(call: Call, stream: Any) -> Iterator[Any]:
    """Return `stream` with each item as a step of `call`, which ends with the stream."""
    return TracedIterator(call, stream)


def traced_async_iterator(call: Call, stream: Any) -> AsyncIterator[Any]:
    """Return the async `stream` with each item as a step of `call`, which ends with the stream."""
    return TracedAsyncIterator(call, stream)
