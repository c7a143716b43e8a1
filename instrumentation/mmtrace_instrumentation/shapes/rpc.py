"""Remote procedure calls as the semantic conventions name them, of all four kinds, on both sides.

The span of a call covers it until its status is known, streams included, and ends once. A CANCELLED call was cancelled,
one past its deadline has failed, and on the server a status that tells of the caller's mistake is no error of its own.

A library file starts a `client` call around the function that sends it, and names its status when that is known:

    with rpc.client("grpc", "/pkg.Service/Method", address).starting() as call:
        running = yield (request, call.metadata(metadata)), {}
    ...
    call.finished("UNAVAILABLE", "connection refused")

On the server it derives from `Arrival`, which knows how the library tells a status, and puts `serve` and its like
around the handlers. https://opentelemetry.io/docs/specs/semconv/rpc/
"""

from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias

import wrapt
from typing_extensions import Self

from mmtrace import attributes as names
from mmtrace.instrumenting import (
    SpanKind,
    Status,
    StatusCode,
    Ticket,
    attached,
    error_type_of,
    extract,
    inject,
    never_raises,
    options,
    outcome_of,
    suppressed,
    traced_async_iterator,
    traced_iterator,
)
from mmtrace_instrumentation.shapes.exchange import Exchange, Untraced

Metadata: TypeAlias = Iterable[tuple[str, "str | bytes"]]

_Proxy: Any = getattr(wrapt, "BaseObjectProxy", wrapt.ObjectProxy)

_FAULTS_OF_THE_SERVER: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)


class Answer(NamedTuple):
    """How a call ended: the name of its status, None where it has none, and what the status says."""

    status: str | None
    details: str = ""


class RpcCall(Exchange):
    """One side of a call."""

    __slots__ = ("_answer", "_collected", "_labels")

    metric: ClassVar[names.Metric]

    _answer: Answer | None
    _collected: bool
    _labels: dict[str, Any]

    @classmethod
    def of(cls, system: str, method: str, attributes: Mapping[str, Any], **options: Any) -> Self:
        """Start a call of `method`, which is `_OTHER` where nobody knows it."""
        labels = {names.RPC_SYSTEM_NAME: system, names.RPC_METHOD: method}
        name = system if method == "_OTHER" else method
        call = cls.start(name, attributes={**labels, **attributes}, **options)
        call._labels, call._answer, call._collected = labels, None, False
        return call

    def finished(self, status: str, details: str = "") -> None:
        """End the call with the status of this name."""
        self._answer = self._answer or Answer(status, details)
        self.end()

    def end(self, error: BaseException | None = None, *, outcome: Any = None, error_type: str | None = None) -> None:
        """End the call with the status that was named, or else with the one that `error` and `outcome` tell."""
        if self.ended:
            return
        self._collected = self._answer is None and error is None and outcome == "cancelled"
        self._answer = self._answer or self._answer_of(error, outcome or outcome_of(error))
        status = self._answer.status
        if status is None:
            super().end(error, outcome=outcome, error_type=error_type)
        elif status == "CANCELLED":
            super().end(error, outcome="cancelled")
        elif self._is_fault(status):
            unknown = status == "UNKNOWN" and error is not None and status_in(error) is None
            super().end(error, outcome="error", error_type=error_type_of(error) if unknown and error else status)
        else:
            super().end(error, outcome="ok")

    def _answer_of(self, error: BaseException | None, outcome: str) -> Answer:
        raise NotImplementedError

    def _is_fault(self, status: str) -> bool:
        raise NotImplementedError

    def _finish(self, elapsed: int, outcome: Any, error: BaseException | None, error_type: str | None) -> None:
        super()._finish(elapsed, outcome, error, error_type)
        status, details = self._answer or Answer(None)
        if status is not None:
            self._labels[names.RPC_RESPONSE_STATUS_CODE] = status
            self.set_attribute(names.RPC_RESPONSE_STATUS_CODE, status)
        if outcome == "error" and details:
            self.span.set_status(Status(StatusCode.ERROR, details))
        if not self._collected:  # in a finalizer, metrics could wait for themselves
            self.measure(self.metric, elapsed, self._labels, error_type)


# --- clients --------------------------------------------------------------------------------------------------------


class ClientCall(RpcCall):
    """A call that is sent."""

    __slots__ = ()

    metric = names.RPC_CLIENT_DURATION

    def metadata(self, present: Metadata | None) -> tuple[tuple[str, str | bytes], ...]:
        """Return the metadata `present` and the context; what is there already stays, keys that come twice as well."""
        given = tuple(present or ())
        return given + tuple((key, value) for key, value in self._carried() if key not in {each[0] for each in given})

    def _carried(self) -> Iterable[tuple[str, str]]:
        carrier: dict[str, str] = {}
        if options().carries(self._labels[names.RPC_SYSTEM_NAME]):
            inject(carrier, self.context)
        return carrier.items()

    def requests(self, stream: Iterator[Any]) -> Iterator[Any]:
        """Return the stream of requests as part of the call: the library may read it in a thread of its own."""
        return _Requests(self, stream)

    def _answer_of(self, error: BaseException | None, outcome: str) -> Answer:
        if error is not None and (status := status_in(error)):
            return Answer(status, str(getattr(error, "details", str)() or ""))
        if outcome == "cancelled":
            return Answer("CANCELLED")
        return Answer("OK" if error is None else None)

    def _is_fault(self, status: str) -> bool:
        return status != "OK"


class _Requests:
    """An iterator that runs in the context of a call."""

    def __init__(self, call: ClientCall, stream: Iterator[Any]) -> None:
        self._call = call
        self._stream = stream

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        with attached(self._call.context):
            return next(self._stream)


_held: Final[ContextVar[list[ClientCall] | None]] = ContextVar("mmtrace-rpc-held", default=None)


def held(
    wrapped: Any, stub: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Generator[None, Any, "HeldStream | None"]:
    """Wrapper of a function that starts an asynchronous stream and keeps it alive although its caller may drop it."""
    calls: list[ClientCall] = []
    token = _held.set(calls)
    try:
        stream = yield
    finally:
        _held.reset(token)
    return None if suppressed() else HeldStream(stream, calls)


class HeldStream(_Proxy):  # type: ignore[misc]  # wrapt is untyped here
    """The stream of a library as its caller holds it: its calls end when nobody holds it any more."""

    def __init__(self, stream: Any, calls: list[ClientCall]) -> None:
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


class _NotCalled(Untraced):
    """A call that nobody records."""

    starting = Untraced.__enter__

    def metadata(self, present: Any) -> Any:
        return present

    def requests(self, stream: Any) -> Any:
        return stream


_NOT_CALLED: Final = _NotCalled()


def client(system: str, method: str, address: Mapping[str, Any]) -> ClientCall | _NotCalled:
    """Return a call of `method` (`/package.Service/Method`) on the server with the attributes `address`."""
    if suppressed():
        return _NOT_CALLED
    call = ClientCall.of(system, method.lstrip("/"), address, kind=SpanKind.CLIENT)
    call._labels.update(address)
    if (calls := _held.get()) is not None:
        calls.append(call)
    return call


def status_in(error: BaseException) -> str | None:
    """Return the name of the status that `error` carries, or None."""
    try:
        return str(error.code().name)  # type: ignore[attr-defined]  # what has no code() carries none
    except Exception:
        return None


# --- servers --------------------------------------------------------------------------------------------------------


class ServerCall(RpcCall):
    """A call that is served; `servicer` is what the library gives to its handler."""

    __slots__ = ("_arrival", "_servicer")

    metric = names.RPC_SERVER_DURATION

    _arrival: "Arrival"
    _servicer: Any

    def _answer_of(self, error: BaseException | None, outcome: str) -> Answer:
        return self._arrival.answer(self._servicer, error, outcome)

    def _is_fault(self, status: str) -> bool:
        return status in _FAULTS_OF_THE_SERVER


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
