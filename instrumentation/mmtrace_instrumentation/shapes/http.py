"""HTTP as the stable semantic conventions name it: one CLIENT span for each request that a library puts on the wire.

A library file says where a request is sent and how its status is read:

    def _send(wrapped, client, args, kwargs):
        request = args[0]
        with http.client("library", request.method, str(request.url)) as exchange:
            sent = ...                                  # a copy of the request with exchange.headers(request.headers)
            response = yield (sent,), kwargs
            exchange.answered(response.status_code, response.http_version)

The span ends when the headers of the answer are there; its body may stream on for as long as it likes.
https://opentelemetry.io/docs/specs/semconv/http/
"""

import itertools
import re
from collections.abc import Generator, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Final, TypeVar, cast
from urllib.parse import urlsplit

from typing_extensions import Self

from mmtrace import attributes as names
from mmtrace.instrumenting import SpanKind, never_raises, suppressed
from mmtrace_instrumentation.shapes.address import attributes_of
from mmtrace_instrumentation.shapes.exchange import Exchange, Untraced
from mmtrace_instrumentation.shapes.headers import headers_for

_H = TypeVar("_H", bound=Mapping[str, str])

_METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"},
)  # fmt: skip
_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_CREDENTIALS: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/?#]*@")
_SECRETS: Final = re.compile(
    r"((?:^|[?&])(?:"
    r"AWSAccessKeyId|Signature|sig|X-(?:Amz|Goog)-(?:Signature|Credential|Security-Token)"
    r"|key|api[_-]?key|(?:access|refresh|id|auth)[_-]?token|token|client[_-]?secret|secret|password"
    r")=)[^&#]*",
    re.IGNORECASE,
)


# --- what clients and servers share ---------------------------------------------------------------------------------


def method_attributes(method: str) -> tuple[str, dict[str, Any]]:
    """Return how a span is named after `method`, and the attributes that say which one it is."""
    known = method.upper()
    if known not in _METHODS:
        return "HTTP", {names.HTTP_REQUEST_METHOD: "_OTHER", names.HTTP_REQUEST_METHOD_ORIGINAL: method}
    if known != method:
        return known, {names.HTTP_REQUEST_METHOD: known, names.HTTP_REQUEST_METHOD_ORIGINAL: method}
    return known, {names.HTTP_REQUEST_METHOD: known}


def redacted(url: str) -> str:
    """Return `url`, or a query alone, without credentials and without the values of parameters that hold secrets."""
    if "@" in url:
        url = _CREDENTIALS.sub(r"\1REDACTED:REDACTED@", url)
    return _SECRETS.sub(r"\1REDACTED", url) if "=" in url else url


def address_attributes(authority: str, scheme: str) -> dict[str, Any]:
    """Return address and port of the server that `authority` (host:port) names; nothing if it names none."""
    return attributes_of(authority, names.SERVER_ADDRESS, names.SERVER_PORT, _DEFAULT_PORTS.get(scheme))


def protocol_version(version: object) -> str:
    """Return `HTTP/1.1`, `HTTP/2`, 11 or 20 as the conventions write it: `1.1`, `2`."""
    text = {10: "1.0", 11: "1.1", 20: "2", 30: "3"}.get(version) if isinstance(version, int) else str(version or "")
    return (text or "").removeprefix("HTTP/").replace("2.0", "2").replace("3.0", "3")


# --- clients --------------------------------------------------------------------------------------------------------


class ClientRequest(Exchange):
    """One request on the wire, until the headers of its answer."""

    __slots__ = ("_failed", "_labels", "_library")

    _failed: str | None
    _labels: dict[str, Any]
    _library: str

    @classmethod
    def sending(cls, library: str, method: str, url: str) -> Self:
        """Start the request of `url` by `library`."""
        name, labels = method_attributes(method)
        parts = urlsplit(url)
        labels.update(address_attributes(parts.netloc, parts.scheme))
        attributes = {**labels, names.URL_FULL: redacted(url)}
        if resent := _resends():
            attributes[names.HTTP_REQUEST_RESEND_COUNT] = resent
        request = cls.start(name, kind=SpanKind.CLIENT, attributes=attributes)
        request._library, request._labels, request._failed = library, labels, None
        return request

    def headers(self, present: _H) -> _H:
        """Return a copy of the headers `present` that carries the context as well; what is there already stays."""
        return self._with_context(present) or present

    @never_raises
    def _with_context(self, present: _H) -> _H:
        headers: Any = present.copy()  # type: ignore[attr-defined]  # every mapping of headers has it
        host = self._labels.get(names.SERVER_ADDRESS, "")
        for name, value in headers_for(self._library, host, self.context, headers).items():
            headers[name] = value
        return cast("_H", headers)

    @never_raises
    def answered(self, status: int, version: object = None) -> None:
        """Note the status, and the version of the protocol, of the answer."""
        self._labels[names.HTTP_RESPONSE_STATUS_CODE] = status
        self.set_attribute(names.HTTP_RESPONSE_STATUS_CODE, status)
        if text := protocol_version(version):
            self._labels[names.NETWORK_PROTOCOL_VERSION] = text
            self.set_attribute(names.NETWORK_PROTOCOL_VERSION, text)
        if status >= 400:
            self._failed = str(status)

    def end(self, error: BaseException | None = None, *, outcome: Any = None, error_type: str | None = None) -> None:
        """End the request; a status of 400 or more is an error."""
        if error is None and self._failed:
            outcome, error_type = "error", self._failed
        super().end(error, outcome=outcome, error_type=error_type)

    def _finish(self, elapsed: int, outcome: Any, error: BaseException | None, error_type: str | None) -> None:
        super()._finish(elapsed, outcome, error, error_type)
        self.measure(names.HTTP_CLIENT_DURATION, elapsed, self._labels, error_type)


class _NotSent(Untraced):
    """A request that nobody records."""

    def headers(self, present: _H) -> _H:
        """Return the headers as they are."""
        return present

    def answered(self, status: int, version: object = None) -> None:
        """Do nothing."""


_NOT_SENT: Final = _NotSent()


def client(library: str, method: str, url: str) -> ClientRequest | _NotSent:
    """Return the block in which `library` sends one request of `url`, until the headers of its answer are there."""
    return _NOT_SENT if suppressed() else ClientRequest.sending(library, method or "", url or "")


@never_raises
def give_back(holder: Any, sent: Any, request: Any) -> None:
    """Let `holder`, a response or an exception, refer to the caller's own `request`, not to the copy that was sent."""
    if holder is not None and vars(holder).get("request", vars(holder).get("_request")) is sent:
        holder.request = request


# --- requests that one call of a library sends ----------------------------------------------------------------------

_counter: Final[ContextVar[Iterator[int] | None]] = ContextVar("mmtrace-http-requests", default=None)


def one_call(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Generator[None, Any, None]:
    """Wrapper of the function of a client that may send a request several times: counts redirects and other resends."""
    token = _counter.set(itertools.count())
    try:
        yield
    finally:
        _counter.reset(token)


def _resends() -> int:
    """Return how many requests the same call has sent before this one."""
    counter = _counter.get()
    return 0 if counter is None else next(counter)
