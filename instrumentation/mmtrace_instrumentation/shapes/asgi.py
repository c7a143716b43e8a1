"""ASGI servers: one SERVER span for each HTTP request and each WebSocket connection, whatever applications it crosses.

The span of a request ends with the body of its answer: what runs in the background afterwards is its child, and does
not make it longer. A client that leaves earlier cancels it. Its parent comes from the headers alone, because servers
run requests in whatever context a socket was opened in.

A framework's file wraps the application's `__call__`, and tells which route was matched with `routed` and `mounted`:

    def _serve(wrapped, app, args, kwargs):
        if (request := asgi.request(app, *args)) is None:
            yield
        else:
            with request:
                yield (args[0], request.receive, request.send), {}

Any other application takes `Middleware`. https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, Final, TypeAlias

from opentelemetry.trace import get_tracer
from typing_extensions import Self

from mmtrace import attributes as names
from mmtrace.instrumenting import extract, never_raises, suppressed
from mmtrace_instrumentation.shapes import http
from mmtrace_instrumentation.shapes.http_server import ServerExchange, in_server_span

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_KEY: Final = "mmtrace.request"
_GONE: Final = frozenset({"ClientDisconnect", "ClientDisconnected", "WebSocketDisconnect"})
"""Exceptions that say that the client has left, by name: importing every framework to know them would cost too much."""
_GOODBYES: Final = frozenset({1000, 1001, 1005})
"""Codes that close a WebSocket when all is well."""


class ServerRequest(ServerExchange):
    """One request, or one connection; the application gets its `receive` and `send`."""

    __slots__ = ("_answered", "_is_http", "_left", "_mounted", "_receive", "_send", "_trailers")

    _answered: bool
    _is_http: bool
    _left: bool
    _mounted: str
    _receive: Receive
    _send: Send
    _trailers: bool

    @classmethod
    def arriving(cls, scope: Scope, receive: Receive, send: Send) -> Self:
        """Start the request of `scope`, where it can be found from now on."""
        method, scheme, version = scope.get("method", "GET"), scope.get("scheme", "http"), scope.get("http_version")
        request = cls.begin(method, scheme, version, extract(scope["headers"]), _attributes(scope))
        request._is_http = scope["type"] == "http"
        request._mounted = scope.get("root_path", "").rstrip("/")
        request._receive, request._send = receive, send
        request._left = request._trailers = request._answered = False
        scope[_KEY] = request
        return request

    def routed(self, path: str) -> None:
        """Note that `path`, a template, matched what the applications around left of the address."""
        self._set_route(self._mounted + path)

    def mounted(self, path: str) -> None:
        """Note that what is mounted at `path`, a template, goes on with the request."""
        self._mounted += path.rstrip("/")
        self.routed("/{path}")

    async def receive(self) -> Message:
        """Receive a message for the application."""
        message = await self._receive()
        self._received(message)
        return message

    async def send(self, message: Message) -> None:
        """Send a message of the application."""
        self._sending(message)
        await self._send(message)
        self._sent(message)

    @never_raises
    def _received(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            self._left = True
        elif message["type"] == "websocket.disconnect":
            self._left = message.get("code") not in _GOODBYES

    @never_raises
    def _sending(self, message: Message) -> None:
        kind = message["type"]
        if kind in {"http.response.start", "websocket.http.response.start"}:
            self._set_status(message["status"])
            self._trailers = bool(message.get("trailers"))
        elif kind == "websocket.accept":
            self._set_status(101)
        elif kind == "websocket.close" and not self._status:
            self._set_status(403)

    @never_raises
    def _sent(self, message: Message) -> None:
        if not self._is_http or not self._is_last(message):
            return
        self._answered = True
        if self._status < 500:  # else the exception that tells why may follow
            self.end()

    def _is_last(self, message: Message) -> bool:
        kind = message["type"]
        if kind == "http.response.body":
            return not message.get("more_body") and not self._trailers
        if kind == "http.response.trailers":
            return not message.get("more_trailers")
        return bool(kind == "http.response.pathsend")

    def end(self, error: BaseException | None = None, *, outcome: Any = None, error_type: str | None = None) -> None:
        """End the request as its answer, its client or the exception `error` says."""
        if error is None and self._status >= 500:
            outcome, error_type = "error", str(self._status)
        elif error is None and self._is_http and not self._answered and not self._left:
            outcome, error_type = "error", "incomplete_response"
        elif error is None or type(error).__name__ in _GONE:
            outcome = "cancelled" if self._is_cut() else "ok"
        super().end(error, outcome=outcome, error_type=error_type)

    def _is_cut(self) -> bool:
        return not self._answered if self._is_http else self._left

    def _finish(self, elapsed: int, outcome: Any, error: BaseException | None, error_type: str | None) -> None:
        super()._finish(elapsed, outcome, error, error_type)
        if self._is_http:
            self._measure(elapsed, error, error_type)


def _attributes(scope: Scope) -> Iterator[tuple[str, Any]]:
    yield names.URL_PATH, scope.get("path", "")
    if query := scope.get("query_string"):
        yield names.URL_QUERY, http.redacted(query.decode("latin-1"))
    if scope["type"] == "websocket":
        yield names.NETWORK_PROTOCOL_NAME, "websocket"
    yield from _server(scope).items()
    if client := scope.get("client"):
        yield names.CLIENT_ADDRESS, client[0]
        if client[1]:
            yield names.CLIENT_PORT, client[1]
    if agent := _header(scope, b"user-agent"):
        yield names.USER_AGENT_ORIGINAL, agent


def _server(scope: Scope) -> dict[str, Any]:
    scheme = scope.get("scheme", "http")
    if host := _header(scope, b"host"):
        return http.address_attributes(host, scheme)
    address, port = scope.get("server") or (None, None)
    found = {names.SERVER_ADDRESS: address, names.SERVER_PORT: port}
    return {key: value for key, value in found.items() if value}


def _header(scope: Scope, name: bytes) -> str | None:
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return None


def is_served(scope: Scope) -> bool:
    """Whether the request of `scope` has a SERVER span already, ours or anybody's, or was left to somebody."""
    return _KEY in scope or in_server_span()


def leave(scope: Scope) -> None:
    """Leave the request of `scope` to somebody else, in every application that it will cross."""
    scope[_KEY] = None


@never_raises
def request(application: Any, scope: Scope, receive: Receive, send: Send) -> ServerRequest | None:
    """Return the block in which `application` serves `scope`, or None where nothing is to be recorded."""
    if scope["type"] not in {"http", "websocket"} or is_served(scope) or suppressed() or traces_itself(application):
        return None
    return ServerRequest.arriving(scope, receive, send)


@never_raises
def routed(scope: Scope, path: str) -> None:
    """Tell the request of `scope` that the template `path` matched."""
    if isinstance(found := scope.get(_KEY), ServerRequest):
        found.routed(path)


@never_raises
def mounted(scope: Scope, path: str) -> None:
    """Tell the request of `scope` that the application mounted at the template `path` has it."""
    if isinstance(found := scope.get(_KEY), ServerRequest):
        found.mounted(path)


def traces_itself(application: Any) -> bool:
    """Whether a middleware of OpenTelemetry stands around the routes of `application` and makes the SERVER span."""
    layer = _middleware(application)
    while layer is not None:
        if type(layer).__name__ == "OpenTelemetryMiddleware":
            _let_be_heard(layer)
            return True
        layer = getattr(layer, "app", None)
    return False


def _let_be_heard(middleware: Any) -> None:
    """Give a middleware whose provider hands its spans to nobody, as BentoML's, the tracer that all others have."""
    processor = getattr(getattr(middleware, "tracer", None), "span_processor", None)
    if getattr(processor, "_span_processors", None) == ():
        middleware.tracer = get_tracer(type(middleware).__module__)


def _middleware(application: Any) -> Any:
    """Return the outermost middleware; Starlette and its like put theirs together at the first request."""
    if getattr(application, "middleware_stack", application) is None:
        application.middleware_stack = application.build_middleware_stack()
    return getattr(application, "middleware_stack", application)


class Middleware:
    """Any ASGI application with its requests traced."""

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve what `scope` describes."""
        if (served := request(self.app, scope, receive, send)) is None:
            await self.app(scope, receive, send)
            return
        with served:
            await self.app(scope, served.receive, served.send)
