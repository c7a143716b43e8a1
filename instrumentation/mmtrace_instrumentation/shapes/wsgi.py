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
from mmtrace.instrumenting import SpanKind, extract, get_current_span, never_raises, suppressed
from mmtrace_instrumentation.shapes import http
from mmtrace_instrumentation.shapes.exchange import Exchange

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]

_KEY: Final = "mmtrace.request"


class ServerRequest(Exchange):
    """One request; the application gets its `start_response`, and the server its `body`."""

    __slots__ = ("_environ", "_error", "_labels", "_method", "_start_response")

    _environ: Environ
    _error: BaseException | None
    _labels: dict[str, Any]
    _method: str
    _start_response: StartResponse

    @classmethod
    def arriving(cls, environ: Environ, start_response: StartResponse) -> Self:
        """Start the request of `environ`, where it can be found from now on."""
        method, labels = http.method_attributes(environ.get("REQUEST_METHOD", "GET"))
        labels[names.URL_SCHEME] = environ.get("wsgi.url_scheme", "http")
        if version := http.protocol_version(environ.get("SERVER_PROTOCOL")):
            labels[names.NETWORK_PROTOCOL_VERSION] = version
        attributes = {**labels, **dict(_attributes(environ))}
        parent = extract(dict(_headers(environ)))
        request = cls.start(method, kind=SpanKind.SERVER, parent=parent, attributes=attributes)
        request._method, request._labels, request._error = method, labels, None
        request._environ, request._start_response = environ, start_response
        environ[_KEY] = request
        return request

    def start_response(self, status: str, headers: Any, *more: Any) -> Any:
        """Begin the answer, as the application asks."""
        self._note(status)
        return self._start_response(status, headers, *more)

    @never_raises
    def _note(self, status: str) -> None:
        self._labels[names.HTTP_RESPONSE_STATUS_CODE] = code = int(status[:3])
        self.set_attribute(names.HTTP_RESPONSE_STATUS_CODE, code)

    def routed(self, path: str) -> None:
        """Note that `path`, a template, matched the request."""
        self._labels[names.HTTP_ROUTE] = path
        self.set_attribute(names.HTTP_ROUTE, path)
        self.span.update_name(f"{self._method} {path}")

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

    @property
    def _status(self) -> int:
        return int(self._labels.get(names.HTTP_RESPONSE_STATUS_CODE, 0))

    def end(self, error: BaseException | None = None, *, outcome: Any = None, error_type: str | None = None) -> None:
        """End the request as its answer, or what was raised, says."""
        if error is None and self._status >= 500:
            error = self._error
            outcome, error_type = "error", None if error is not None else str(self._status)
        super().end(error, outcome=outcome, error_type=error_type)

    def _finish(self, elapsed: int, outcome: Any, error: BaseException | None, error_type: str | None) -> None:
        super()._finish(elapsed, outcome, error, error_type)
        self._environ.pop(_KEY, None)
        if not isinstance(error, GeneratorExit):  # in a finalizer, metrics could wait for themselves
            self.measure(names.HTTP_SERVER_DURATION, elapsed, self._labels, error_type)


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
    span: Any = get_current_span()
    is_served = getattr(span, "kind", None) is SpanKind.SERVER and span.is_recording()
    if _KEY in environ or is_served or suppressed():
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
