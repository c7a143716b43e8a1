"""Remote procedure calls as the semantic conventions name them, of all four kinds, on both sides.

The span of a call covers it until its status is known, streams included, and ends once. A CANCELLED call was cancelled,
one past its deadline has failed, and on the server a status that tells of the caller's mistake is no error of its own.

A library file starts a `client` call around the function that sends it, and names its status when that is known:

    with rpc.client("grpc", "/pkg.Service/Method", address).starting() as call:
        running = yield (request, call.metadata(metadata)), {}
    ...
    call.finished("UNAVAILABLE", "connection refused")

What serves calls is in `rpc_server`. https://opentelemetry.io/docs/specs/semconv/rpc/
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias

from typing_extensions import Self

from mmtrace import attributes as names
from mmtrace.instrumenting import (
    SpanKind,
    Status,
    StatusCode,
    attached,
    error_type_of,
    never_raises,
    outcome_of,
    suppressed,
)
from mmtrace_instrumentation.shapes.exchange import Exchange, Untraced
from mmtrace_instrumentation.shapes.headers import headers_for

Metadata: TypeAlias = Iterable[tuple[str, "str | bytes"]]


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
        self._answer = self._answer or self._told(error, outcome or outcome_of(error)) or Answer(None)
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

    @never_raises
    def _told(self, error: BaseException | None, outcome: str) -> Answer:
        return self._answer_of(error, outcome)

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


class ClientCall(RpcCall):
    """A call that is sent."""

    __slots__ = ()

    metric = names.RPC_CLIENT_DURATION

    def metadata(self, present: Metadata | None) -> tuple[tuple[str, str | bytes], ...]:
        """Return the metadata `present` and the context; what is there already stays, keys that come twice as well."""
        given = tuple(present or ())
        host = self._labels.get(names.SERVER_ADDRESS, "")
        keys = {key for key, _ in given}
        return given + tuple(headers_for(self._labels[names.RPC_SYSTEM_NAME], host, self.context, keys).items())

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
    return call


def status_in(error: BaseException) -> str | None:
    """Return the name of the status that `error` carries, or None."""
    try:
        return str(error.code().name)  # type: ignore[attr-defined]  # what has no code() carries none
    except Exception:
        return None
