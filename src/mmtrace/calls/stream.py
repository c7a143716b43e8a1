"""Calls that answer in items: their context is current only while the producer runs.

A stream ends in one of these ways: `exhausted`, `closed` by its consumer, `cancelled`, `error`, or `abandoned`, which
is when its consumer dropped it without closing it and a finalizer had to.
"""

import weakref
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, Final, Literal, TypeAlias

from mmtrace.calls.call import Call, ModelCall
from mmtrace.calls.outcome import Outcome, outcome_of
from mmtrace.recording.current import aside
from mmtrace.spans import clock

StreamEnd: TypeAlias = Literal["exhausted", "closed", "cancelled", "error", "abandoned"]
Begin: TypeAlias = Callable[[], "Call | None"]

_OUTCOMES: Final[dict[StreamEnd, Outcome]] = {
    "exhausted": "ok",
    "closed": "cancelled",
    "cancelled": "cancelled",
    "error": "error",
    "abandoned": "cancelled",
}


class Stream:
    """The course of one stream of `call`: how long its consumer held it, and how it ended."""

    __slots__ = ("_consumer", "_given_at", "_model_call", "call")

    def __init__(self, call: Call) -> None:
        self.call = call
        self._model_call = call if isinstance(call, ModelCall) else None
        self._given_at = 0
        self._consumer = 0

    def taken(self) -> None:
        """Note that the consumer asked for the next item."""
        if self._given_at:
            self._consumer = clock.monotonic() - self._given_at

    def given(self) -> None:
        """Note that the producer made an item, and that the consumer holds the stream from now on."""
        now = clock.monotonic()
        if self._model_call is not None:
            self._model_call.outputs.item(now, held=self._consumer)
        self._given_at = now

    def item(self, advance: Callable[..., Any], *arguments: Any) -> Any:
        """Return what `advance` makes, as one step of the call; the stream ends with what it raises."""
        self.taken()
        try:
            with self.call.step():
                item = advance(*arguments)
        except StopIteration:
            self.end("exhausted")
            raise
        except BaseException as error:
            self.fail(error)
            raise
        self.given()
        return item

    async def item_later(self, advance: Callable[..., Any], *arguments: Any) -> Any:
        """Do what `item` does with an `advance` that is to be awaited."""
        self.taken()
        try:
            with self.call.step():
                item = await advance(*arguments)
        except StopAsyncIteration:
            self.end("exhausted")
            raise
        except BaseException as error:
            self.fail(error)
            raise
        self.given()
        return item

    def end(self, how: StreamEnd, error: BaseException | None = None) -> None:
        """End the call, whose stream ended in the way `how`."""
        if self._model_call is not None and not self.call.ended:
            self._model_call.outputs.how_it_ended = how
        self.call.end(error, outcome=_OUTCOMES[how])

    def __del__(self) -> None:
        # The last resort: an async generator that no event loop knows is dropped without a word.
        if not self.call.ended:
            self.end("abandoned")

    def fail(self, error: BaseException) -> None:
        """End the call, whose producer raised `error`."""
        self.end("cancelled" if outcome_of(error) == "cancelled" else "error", error)


class _Owner:
    """Tells a generator that is closed from one that is collected.

    Weak references to a generator are cleared before its finalizer throws GeneratorExit into it.
    """

    __slots__ = ("_reference",)

    _reference: Callable[[], object]

    def of(self, generator: Any) -> Any:
        self._reference = weakref.ref(generator)
        return generator

    @property
    def how_closed(self) -> StreamEnd:
        return "abandoned" if self._reference() is None else "closed"


def drive(begin: Begin, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Return a generator that does what `generator` does, as the call that `begin` starts with its first item."""
    owner = _Owner()
    return owner.of(_drive(begin, generator, owner))  # type: ignore[no-any-return]


def _drive(begin: Begin, generator: Generator[Any, Any, Any], owner: _Owner) -> Generator[Any, Any, Any]:
    call = begin()
    if call is None:
        return (yield from generator)
    stream = Stream(call)
    advance: Callable[[Any], Any] = generator.send
    argument: Any = None
    while True:
        try:
            item = stream.item(advance, argument)
        except StopIteration as stop:
            return stop.value
        try:
            argument = yield item
            advance = generator.send
        except GeneratorExit:
            _close(stream, generator, owner)
            raise
        except BaseException as error:
            advance, argument = generator.throw, error


def _close(stream: Stream, generator: Generator[Any, Any, Any], owner: _Owner) -> None:
    how = owner.how_closed
    if how == "abandoned":
        aside(_close_as, how, stream, generator)
    else:
        _close_as(how, stream, generator)


def _close_as(how: StreamEnd, stream: Stream, generator: Generator[Any, Any, Any]) -> None:
    try:
        with stream.call.step():
            generator.close()
    except BaseException as error:
        stream.fail(error)
        raise
    stream.end(how)


def drive_async(begin: Begin, generator: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any]:
    """Return an async generator that does what `generator` does, as the call that `begin` starts with item one."""
    owner = _Owner()
    return owner.of(_drive_async(begin, generator, owner))  # type: ignore[no-any-return]


async def _drive_async(begin: Begin, generator: AsyncGenerator[Any, Any], owner: _Owner) -> AsyncGenerator[Any, Any]:
    stream = _stream_of(begin)
    advance: Callable[[Any], Any] = generator.asend
    argument: Any = None
    while True:
        try:
            item = await (advance(argument) if stream is None else stream.item_later(advance, argument))
        except StopAsyncIteration:
            return
        try:
            argument = yield item
            advance = generator.asend
        except GeneratorExit:
            await _aclose(stream, generator, owner)
            raise
        except BaseException as error:
            advance, argument = generator.athrow, error


def _stream_of(begin: Begin) -> Stream | None:
    call = begin()
    return None if call is None else Stream(call)


async def _aclose(stream: Stream | None, generator: AsyncGenerator[Any, Any], owner: _Owner) -> None:
    if stream is None:
        await generator.aclose()
        return
    how = owner.how_closed
    try:
        with stream.call.step():
            await generator.aclose()
    except BaseException as error:
        stream.fail(error)
        raise
    stream.end(how)
