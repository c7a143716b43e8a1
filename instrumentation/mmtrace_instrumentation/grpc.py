"""gRPC, synchronous and asyncio, clients and servers.

Clients are patched where a call goes onto the wire: inside of every interceptor, so that each attempt of one that
retries is a span, and on the library's own classes, so that every channel and stub is reached, those that exist already
as well, and callers get the very objects that the library made. Servers get an interceptor that stands before the
application's own.
"""

import inspect
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from functools import lru_cache, partial
from typing import Any, ClassVar, Final

from mmtrace import attributes as names
from mmtrace.instrumenting import Instrumentation, Patch, never_raises, suppressed
from mmtrace_instrumentation.shapes import held, rpc, rpc_server, serving
from mmtrace_instrumentation.shapes.address import attributes_of

_Args = tuple[Any, ...]
_Kwargs = dict[str, Any]
_Wrapper = Generator[Any, Any, None]

# --- clients --------------------------------------------------------------------------------------------------------


def _waits(wrapped: Any, stub: Any, args: _Args, kwargs: _Kwargs) -> _Wrapper:
    with _call(stub._method, stub._target) as call:
        yield _carrying(call, stub, args, kwargs)


def _runs(wrapped: Any, stub: Any, args: _Args, kwargs: _Kwargs) -> _Wrapper:
    call = _call(stub._method, stub._target)
    with call.starting():
        running = yield _carrying(call, stub, args, kwargs)
    _follow(call, running, running.add_callback)


def _runs_async(wrapped: Any, running: Any, args: _Args, kwargs: _Kwargs) -> _Wrapper:
    request, deadline, metadata, credentials, ready, channel, method, *rest = args
    call = _call(method, _targets.get(id(channel), ""))
    with call.starting():
        yield (request, deadline, call.metadata(metadata), credentials, ready, channel, method, *rest), kwargs
    _follow(call, running, running._cython_call.add_done_callback)


_targets: Final[dict[int, str]] = {}
"""What channels of asyncio lead to, by the identity of what their calls know of them."""


def _opens(wrapped: Any, channel: Any, args: _Args, kwargs: _Kwargs) -> _Wrapper:
    yield
    key = id(channel._channel)
    _targets[key] = args[0] if args else kwargs["target"]
    weakref.finalize(channel, _targets.pop, key, None)


def _call(method: bytes, target: bytes | str) -> Any:
    return rpc.client("grpc", _text(method), _address(_text(target)))


def _carrying(call: Any, stub: Any, args: _Args, kwargs: _Kwargs) -> tuple[_Args, _Kwargs]:
    """Return the arguments with the context in their metadata; requests that are a stream are made inside the call."""
    requests = "request_iterator" if type(stub).__name__.startswith("_Stream") else "request"
    parameters = (requests, "timeout", "metadata", "credentials", "wait_for_ready", "compression")
    given = {**dict(zip(parameters, args, strict=False)), **kwargs}
    given["metadata"] = call.metadata(given.get("metadata"))
    if requests == "request_iterator":
        given[requests] = call.requests(given[requests])
    return args[len(parameters) :], given


def _follow(call: Any, running: Any, when_done: Callable[[Callable[[], None]], bool | None]) -> None:
    """Let `call` end with `running`, which nothing of ours keeps alive: a call that its caller drops is cancelled."""
    if isinstance(call, rpc.ClientCall):
        weakref.finalize(running, call.end, outcome="cancelled")
        done = partial(_done, call, weakref.ref(running))
        if when_done(done) is False:
            done()
        if type(running).__name__.endswith("StreamCall"):
            held.hold(call)


@never_raises
def _done(call: Any, running: Callable[[], Any]) -> None:
    if (found := running()) is None:
        call.end(outcome="cancelled")
    else:
        call.finished(_now(found.code()).name, _now(found.details()) or "")


def _now(value: Any) -> Any:
    """Return `value`, or what it gives at once where it is a coroutine: so it is when the call is done."""
    if not isinstance(value, Coroutine):
        return value
    try:
        value.send(None)
    except StopIteration as stop:
        return stop.value
    return value.close()


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


@lru_cache(maxsize=1024)
def _address(target: str) -> Mapping[str, Any]:
    """Return address and port of the server that a name of gRPC's naming means, `dns:///host:port` or `unix:path`."""
    scheme, _, rest = target.partition(":")
    if scheme in {"unix", "unix-abstract"}:
        return {names.SERVER_ADDRESS: rest.removeprefix("//")}
    name = target.rpartition("/")[2]
    if name == target and scheme in {"dns", "ipv4", "ipv6", "passthrough"}:
        name = rest
    return attributes_of(name.partition(",")[0], names.SERVER_ADDRESS, names.SERVER_PORT)


# --- servers --------------------------------------------------------------------------------------------------------


class _Arrival(rpc_server.Arrival):
    system: ClassVar[str] = "grpc"

    def answer(self, servicer: Any, error: BaseException | None, outcome: str) -> rpc.Answer:
        if outcome == "cancelled" or not getattr(servicer, "is_active", lambda: True)():
            return rpc.Answer("DEADLINE_EXCEEDED" if _is_late(servicer) else "CANCELLED")
        if not hasattr(servicer, "code"):  # a synchronous handler of an asyncio server is not told
            return rpc.Answer("OK" if error is None else None)
        code = servicer.code()
        if code is None:
            return rpc.Answer("OK" if error is None else "UNKNOWN")
        return rpc.Answer(getattr(code, "name", None) or _names().get(code), _text(servicer.details() or ""))

    def caller(self, servicer: Any) -> Mapping[str, Any]:
        kind, _, name = servicer.peer().partition(":")
        if kind in {"ipv4", "ipv6"}:
            return attributes_of(name, names.CLIENT_ADDRESS, names.CLIENT_PORT)
        return {names.CLIENT_ADDRESS: name} if name else {}


def _is_late(servicer: Any) -> bool:
    left = servicer.time_remaining()
    return left is not None and left < 0.02  # the client's clock started first


@lru_cache(maxsize=1)
def _names() -> dict[Any, str]:
    from grpc import StatusCode

    return {code.value[0]: code.name for code in StatusCode}


class _Interceptor:
    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        arrival = _Arrival.now(details.method, details.invocation_metadata)
        try:
            handler = continuation(details)
        except BaseException as error:
            arrival.refused(error)
            raise
        return _traced(handler, arrival) or handler


class _AsyncInterceptor:
    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        arrival = _Arrival.now(details.method, details.invocation_metadata)
        try:
            handler = await continuation(details)
        except BaseException as error:
            arrival.refused(error)
            raise
        return _traced(handler, arrival) or handler


@never_raises
def _traced(handler: Any, arrival: rpc_server.Arrival) -> Any:
    """Return `handler` with its behavior inside the call that has arrived."""
    import grpc

    if handler is None:
        arrival.unknown()
        return None
    kind = f"{_kind(handler.request_streaming)}_{_kind(handler.response_streaming)}"
    behavior = getattr(handler, kind)
    if getattr(behavior, "experimental_non_blocking", False):
        return handler
    traced = partial(_serving(behavior, streams=handler.response_streaming), arrival, behavior)
    vars(traced).update(getattr(behavior, "__dict__", {}))
    make = getattr(grpc, f"{kind}_rpc_method_handler")
    return make(traced, handler.request_deserializer, handler.response_serializer)


def _kind(streams: bool) -> str:  # noqa: FBT001  # of a handler's attribute
    return "stream" if streams else "unary"


def _serving(behavior: Any, *, streams: bool) -> Callable[..., Any]:
    """Return the function that runs a behavior as gRPC would: it asks the function which kind it is of."""
    if inspect.iscoroutinefunction(behavior):
        return rpc_server.serve_async
    if inspect.isasyncgenfunction(behavior):
        return rpc_server.serve_stream_async
    return rpc_server.serve_stream if streams else rpc_server.serve


def _serves(make: Callable[[], Any], wrapped: Any, server: Any, args: _Args, kwargs: _Kwargs) -> _Wrapper:
    pool, handlers, interceptors, *rest = args
    first = () if suppressed() else (make(),)
    yield (pool, handlers, (*first, *(interceptors or ())), *rest), kwargs


def _async_interceptor() -> _AsyncInterceptor:
    from grpc.aio import ServerInterceptor

    ServerInterceptor.register(_AsyncInterceptor)
    return _AsyncInterceptor()


_WAITING = (
    "_UnaryUnaryMultiCallable.__call__",
    "_UnaryUnaryMultiCallable.with_call",
    "_StreamUnaryMultiCallable.__call__",
    "_StreamUnaryMultiCallable.with_call",
)
_RUNNING = (
    "_UnaryUnaryMultiCallable.future",
    "_StreamUnaryMultiCallable.future",
    "_UnaryStreamMultiCallable.__call__",
    "_SingleThreadedUnaryStreamMultiCallable.__call__",
    "_StreamStreamMultiCallable.__call__",
)
_RUNNING_ASYNC = ("UnaryUnaryCall", "UnaryStreamCall", "StreamUnaryCall", "StreamStreamCall")
_STREAMING_ASYNC = ("UnaryStreamMultiCallable", "StreamStreamMultiCallable")

instrumentation = Instrumentation(
    name="grpc",
    library="grpcio",
    versions=">=1.63,<2",
    patches=(
        *(Patch(f"grpc._channel:{name}", _waits) for name in _WAITING),
        *(Patch(f"grpc._channel:{name}", _runs) for name in _RUNNING),
        *(Patch(f"grpc.aio._call:{name}.__init__", _runs_async) for name in _RUNNING_ASYNC),
        *(Patch(f"grpc.aio._channel:{name}.__call__", held.until_dropped) for name in _STREAMING_ASYNC),
        Patch("grpc.aio._channel:Channel.__init__", _opens),
        Patch("grpc._server:_Server.wait_for_termination", serving.until_stopped),
        Patch("grpc._server:create_server", partial(_serves, _Interceptor)),
        Patch("grpc.aio._server:Server.__init__", partial(_serves, _async_interceptor)),
    ),
    superseded_by=("opentelemetry.instrumentation.grpc",),
)
