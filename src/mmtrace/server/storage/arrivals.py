"""Who wants to know that traces arrive: the writer's thread tells, event loops listen."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable
from typing import Final

_MOST: Final = 10_000
"""A listener that is this many traces behind is not told of more until it has caught up."""


class Arrivals:
    """Tells subscribers which traces got new spans."""

    def __init__(self) -> None:
        self._subscribers: set[_Subscriber] = set()
        self._lock = threading.Lock()
        self._closed = False

    def publish(self, trace_ids: Iterable[bytes]) -> None:
        """Tell every subscriber; from any thread."""
        if not self._subscribers:
            return
        numbers = {int.from_bytes(trace_id, "big") for trace_id in trace_ids}
        for subscriber in self._everybody():
            subscriber.tell(numbers)

    async def subscribe(self, pause: float) -> AsyncIterator[frozenset[int]]:
        """Yield what arrived, gathered over `pause` seconds; ends with `close()`."""
        subscriber = _Subscriber(asyncio.get_running_loop())
        with self._lock:
            if self._closed:
                return
            self._subscribers.add(subscriber)
        try:
            while found := await subscriber.take():
                yield found
                await asyncio.sleep(pause)
        finally:
            with self._lock:
                self._subscribers.discard(subscriber)

    def close(self) -> None:
        """End every subscription."""
        with self._lock:
            self._closed = True
        for subscriber in self._everybody():
            subscriber.end()

    def _everybody(self) -> "list[_Subscriber]":
        with self._lock:
            return list(self._subscribers)


class _Subscriber:
    """What one listener has not heard yet."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._news = asyncio.Event()
        self._unheard: set[int] = set()
        self._ended = False

    def tell(self, trace_ids: set[int]) -> None:
        self._call(self._add, trace_ids)

    def end(self) -> None:
        self._call(self._finish)

    def _call(self, function: "object", *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)  # type: ignore[arg-type]
        except RuntimeError:
            self._ended = True  # its loop has closed

    def _add(self, trace_ids: set[int]) -> None:
        if len(self._unheard) < _MOST:
            self._unheard |= trace_ids
        self._news.set()

    def _finish(self) -> None:
        self._ended = True
        self._news.set()

    async def take(self) -> frozenset[int]:
        """Wait for news and return them; empty where there will be no more."""
        while not self._unheard and not self._ended:
            self._news.clear()
            await self._news.wait()
        heard, self._unheard = frozenset(self._unheard), set()
        return heard
