"""WSGI servers: one SERVER span for each request, whatever applications it crosses.

The span of a request ends when its body is closed: a body that streams runs after the application has returned, in the
context of the request all the same. A body that is closed before its end was cancelled by its client.

A framework's file wraps the application's `__call__`, and tells which route was matched, and what was raised, with
`routed` and `failed`:

    def _serve(wrapped, app, args, kwargs):
        if (request := wsgi.request(*args)) is None:
            yield
            return
        with request.starting():
            body = yield (args[0], request.start_response), {}
        return request.body(body)

Any other application takes `Middleware`. https://peps.python.org/pep-3333/
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeAlias

from typing_extensions import Self

from mmtrace import attributes as names
from mmtrace.instrumenting import extract, never_raises, suppressed
from mmtrace_instrumentation.shapes import http
from mmtrace_instrumentation.shapes.http_server import ServerExchange, in_server_span

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]

_KEY: Final = "mmtrace.request"


class ServerRequest(ServerExchange):
    """One request; the application gets its `start_response`, and the server its `body`."""

    __slots__ = ("_environ", "_error", "_start_response")

    _environ: Environ
    _error: BaseException | None
    _start_response: StartResponse

    @classmethod
    def arriving(cls, environ: Environ, start_response: StartResponse) -> Self:
        """Start the request of `environ`, where it can be found from now on."""
        method, scheme = environ.get("REQUEST_METHOD", "GET"), environ.get("wsgi.url_scheme", "http")
        version = http.protocol_version(environ.get("SERVER_PROTOCOL"))
        request = cls.begin(method, scheme, version, extract(dict(_headers(environ))), _attributes(environ))
        request._environ, request._start_response, request._error = environ, start_response, None
        environ[_KEY] = request
        return request

    def start_response(self, status: str, headers: Any, *more: Any) -> Any:
        """Begin the answer, as the application asks."""
        self._note(status)
        return self._start_response(status, headers, *more)

    @never_raises
    def _note(self, status: str) -> None:
        self._set_status(int(status[:3]))

    def routed(self, path: str) -> None:
        """Note that `path`, a template, matched the request."""
        self._set_route(path)

    def failed(self, error: BaseException) -> None:
        """Note what the application raised, and its framework answers for."""
        self._error = error

    def body(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """Return the body for the server: what is there already as it is, what is still to be made in its context."""
        wrapper = self._environ.get("wsgi.file_wrapper")
        if isinstance(body, (list, tuple)) or (isinstance(wrapper, type) and isinstance(body, wrapper)):
            self.end()
            return body
        return _Body(self, body)

    def end(self, error: BaseException | None = None, *, outcome: Any = None, error_type: str | None = None) -> None:
        """End the request as its answer, or what was raised, says."""
        if error is None and self._status >= 500:
            error = self._error
            outcome, error_type = "error", None if error is not None else str(self._status)
        super().end(error, outcome=outcome, error_type=error_type)

    def _finish(self, elapsed: int, outcome: Any, error: BaseException | None, error_type: str | None) -> None:
        super()._finish(elapsed, outcome, error, error_type)
        self._environ.pop(_KEY, None)
        self._measure(elapsed, error, error_type)


class _Body:
    """A body that is made while it is sent; ends its request when it is closed."""

    def __init__(self, request: ServerRequest, body: Iterable[bytes]) -> None:
        self._request = request
        self._body = body
        self._pieces: Iterator[bytes] | None = None
        self._is_read = request._method == "HEAD"

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            with self._request.step():
                if self._pieces is None:
                    self._pieces = iter(self._body)
                return next(self._pieces)
        except StopIteration:
            self._is_read = True
            raise
        except BaseException as error:
            self._request.end(error)
            raise

    def close(self) -> None:
        """Close the body, as its server does in any case."""
        close: Any = getattr(self._body, "close", None)
        try:
            with self._request.step():
                if close is not None:
                    close()
        except BaseException as error:
            self._request.end(error)
            raise
        self._request.end(outcome=None if self._is_read else "cancelled")

    def __del__(self) -> None:
        self._request.end(GeneratorExit())


def _headers(environ: Environ) -> Iterator[tuple[str, str]]:
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            yield key[5:].replace("_", "-").lower(), value


def _attributes(environ: Environ) -> Iterator[tuple[str, Any]]:
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    yield names.URL_PATH, path.encode("latin-1", "replace").decode("utf-8", "replace")  # as PEP 3333 has it
    if query := environ.get("QUERY_STRING"):
        yield names.URL_QUERY, http.redacted(query)
    authority = environ.get("HTTP_HOST") or f"{environ.get('SERVER_NAME', '')}:{environ.get('SERVER_PORT', '')}"
    yield from http.address_attributes(authority, environ.get("wsgi.url_scheme", "http")).items()
    if client := environ.get("REMOTE_ADDR"):
        yield names.CLIENT_ADDRESS, client
        if port := environ.get("REMOTE_PORT"):
            yield names.CLIENT_PORT, int(port)
    if agent := environ.get("HTTP_USER_AGENT"):
        yield names.USER_AGENT_ORIGINAL, agent


@never_raises
def request(environ: Environ, start_response: StartResponse) -> ServerRequest | None:
    """Return the request of `environ`, or None where nothing is to be recorded."""
    if _KEY in environ or in_server_span() or suppressed():
        return None
    return ServerRequest.arriving(environ, start_response)


@never_raises
def routed(environ: Environ, path: str) -> None:
    """Tell the request of `environ` that the template `path` matched."""
    if isinstance(found := environ.get(_KEY), ServerRequest):
        found.routed(path)


@never_raises
def failed(environ: Environ, error: BaseException) -> None:
    """Tell the request of `environ` what was raised."""
    if isinstance(found := environ.get(_KEY), ServerRequest):
        found.failed(error)


class Middleware:
    """Any WSGI application with its requests traced."""

    def __init__(self, app: Callable[[Environ, StartResponse], Iterable[bytes]]) -> None:
        self.app = app

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve what `environ` describes."""
        if (served := request(environ, start_response)) is None:
            return self.app(environ, start_response)
        with served.starting():
            body = self.app(environ, served.start_response)
        return served.body(body)
