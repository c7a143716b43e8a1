"""Remote procedure calls where they are served: each handler runs inside the call that has arrived for it.

A library file derives from `Arrival`, which knows how the library tells a status, makes one for each call that arrives,
and puts `serve` or another of its kind around the handler.
"""

from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeAlias

from typing_extensions import Self

from mmtrace import attributes as names
from mmtrace.instrumenting import SpanKind, Ticket, extract, never_raises, traced_async_iterator, traced_iterator
from mmtrace_instrumentation.shapes.exchange import Untraced
from mmtrace_instrumentation.shapes.rpc import Answer, Metadata, RpcCall

_FAULTS: Final = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
"""Statuses that are the server's own fault, by the conventions of gRPC."""


class ServerCall(RpcCall):
    """A call that is served; `servicer` is what the library gives to its handler."""

    __slots__ = ("_arrival", "_servicer")

    metric = names.RPC_SERVER_DURATION

    _arrival: "Arrival"
    _servicer: Any

    def _answer_of(self, error: BaseException | None, outcome: str) -> Answer:
        return self._arrival.answer(self._servicer, error, outcome)

    def _is_fault(self, status: str) -> bool:
        return status in _FAULTS


@dataclass(frozen=True)
class Arrival:
    """A call that has arrived at a server and waits for its handler: the span counts that time as well."""

    method: str
    ticket: Ticket

    system: ClassVar[str]

    @classmethod
    def now(cls, method: str, metadata: Metadata) -> Self:
        """Return the arrival of a call of `method`, whose context is in `metadata`, at this moment."""
        return cls(method, Ticket.now(extract(metadata)))

    @abstractmethod
    def answer(self, servicer: Any, error: BaseException | None, outcome: str) -> Answer:
        """Return how a call ended whose handler is through, perhaps with `error`."""

    @abstractmethod
    def caller(self, servicer: Any) -> Mapping[str, Any]:
        """Return the attributes that say who calls."""

    @never_raises
    def unknown(self) -> None:
        """Record a call of a method that the server does not have."""
        original = {names.RPC_METHOD_ORIGINAL: self.method.lstrip("/")}
        self._begun(None, "_OTHER", original).finished("UNIMPLEMENTED")

    @never_raises
    def refused(self, error: BaseException) -> None:
        """Record a call that came to no handler, because something before it raised `error`."""
        call = self._begun(None, self.method, {})
        call._answer = Answer("UNKNOWN")
        call.end(error)

    def served(self, servicer: Any) -> ServerCall:
        """Start the call, whose handler gets `servicer`."""
        return self._begun(servicer, self.method, self.caller(servicer))

    def _begun(self, servicer: Any, method: str, attributes: Mapping[str, Any]) -> ServerCall:
        options = {"kind": SpanKind.SERVER, "parent": self.ticket.context, "start_time": self.ticket.arrival}
        call = ServerCall.of(self.system, method.lstrip("/"), attributes, **options)
        call._arrival, call._servicer = self, servicer
        return call


_begin = never_raises(Arrival.served)

Handler: TypeAlias = Callable[[Any, Any], Any]


def serve(arrival: Arrival, handler: Handler, request: Any, servicer: Any) -> Any:
    """Answer with one response."""
    with _begin(arrival, servicer) or Untraced():
        return handler(request, servicer)


async def serve_async(
    arrival: Arrival, handler: Callable[[Any, Any], Awaitable[Any]], request: Any, servicer: Any
) -> Any:
    """Answer with one response, or with those that the handler writes."""
    with _begin(arrival, servicer) or Untraced():
        return await handler(request, servicer)


def serve_stream(arrival: Arrival, handler: Handler, request: Any, servicer: Any) -> Iterator[Any]:
    """Answer with a stream of responses."""
    call = _begin(arrival, servicer)
    if call is None:
        return handler(request, servicer)  # type: ignore[no-any-return]
    with call.starting():
        responses = handler(request, servicer)
    return traced_iterator(call, responses)


async def serve_stream_async(arrival: Arrival, handler: Handler, request: Any, servicer: Any) -> AsyncIterator[Any]:
    """Answer with a stream of responses."""
    call = _begin(arrival, servicer)
    responses = handler(request, servicer)
    async for response in responses if call is None else traced_async_iterator(call, responses):
        yield response
