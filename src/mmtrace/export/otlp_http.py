"""OTLP over HTTP, in protobuf: one POST a batch.

Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp.
"""

import gzip
import zlib
from collections.abc import Callable, Mapping
from http.client import BadStatusLine
from typing import Any, Final
from urllib.parse import unquote

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import parse_url

from mmtrace.errors import ConfigurationError
from mmtrace.export.answers import partial_success, retry_after, status_message
from mmtrace.export.target import Target
from mmtrace.transport.signals import Outcome, Signal

_PROTOBUF: Final = "application/x-protobuf"
_RETRIED: Final = frozenset({429, 502, 503, 504})
_LONGEST_ANSWER: Final = 1 << 16
_LONGEST_QUOTE: Final = 200

_COMPRESS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": lambda body: gzip.compress(body, compresslevel=6, mtime=0),
    "deflate": zlib.compress,
}


class OtlpHttp:
    """Sends each signal to its target. Raises ConfigurationError for a target that can never work."""

    quiet_before_fork = False

    def __init__(self, targets: Mapping[Signal, Target], *, agent: str = "mmtrace") -> None:
        for target in targets.values():
            _check(target)
        self._targets = dict(targets)
        self._headers = {signal: _headers(target, agent) for signal, target in targets.items()}
        self._pools: dict[object, urllib3.PoolManager] = {}
        self.where = next(iter(targets.values())).where

    def export(self, signal: Signal, body: bytes, count: int, timeout: float) -> Outcome:
        """POST `body` and say what came of it."""
        target = self._targets.get(signal)
        if target is None:
            return Outcome("unsupported", message=f"no receiver is set for {signal.label}")
        seconds = min(timeout, target.timeout)
        try:
            response = self._pool(target).request(
                "POST",
                target.url,
                body=_COMPRESS.get(target.compression, bytes)(body),
                headers=self._headers[signal],
                timeout=urllib3.Timeout(total=seconds),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            answer = _read(response)
        except HTTPError as error:
            return Outcome("retry", message=_unreachable(target, error, seconds), answered=False)
        return _outcome(signal, target, response, answer)

    def close(self) -> None:
        """Close the connections: at the end of the process urllib3's own finalizers have run before the last export."""
        managers, self._pools = self._pools, {}
        for manager in managers.values():
            for key in manager.pools.keys():  # noqa: SIM118  # no mapping: it cannot be iterated
                manager.pools[key].close()
            manager.clear()

    def after_fork(self) -> None:
        """Forget the parent's connections; they go on in the parent."""
        self._pools = {}

    def _pool(self, target: Target) -> urllib3.PoolManager:
        key = (target.proxy, target.files)
        if key not in self._pools:
            self._pools[key] = _new_pool(target)
        return self._pools[key]


def _new_pool(target: Target) -> urllib3.PoolManager:
    files = {"ca_certs": target.certificate, "cert_file": target.client_certificate, "key_file": target.client_key}
    given: dict[str, Any] = {name: path for name, path in files.items() if path is not None}
    if target.proxy is not None:
        credentials = parse_url(target.proxy).auth
        headers = urllib3.make_headers(proxy_basic_auth=unquote(credentials)) if credentials else None
        return urllib3.ProxyManager(target.proxy, maxsize=1, proxy_headers=headers, **given)
    return urllib3.PoolManager(maxsize=1, **given)


def _check(target: Target) -> None:
    try:
        parts = parse_url(target.url)
    except HTTPError:
        parts = None
    if parts is None or parts.scheme not in {"http", "https"} or not parts.host:
        meant = "" if "://" in target.url else f": did you mean http://{target.url}?"
        raise ConfigurationError(f"{target.url!r} is no address for OTLP over HTTP, like http://localhost:4318{meant}")
    target.check()


def _headers(target: Target, agent: str) -> dict[str, str]:
    credentials = parse_url(target.url).auth
    basic = urllib3.make_headers(basic_auth=unquote(credentials)) if credentials else {}
    headers = {"User-Agent": agent, **basic, **target.headers, "Content-Type": _PROTOBUF}
    if target.compression in _COMPRESS:
        headers["Content-Encoding"] = target.compression
    return headers


def _read(response: urllib3.BaseHTTPResponse) -> bytes:
    try:
        answer = response.read(_LONGEST_ANSWER, decode_content=True)
        if response.read(1):
            response.close()
        return answer
    finally:
        response.release_conn()


def _outcome(signal: Signal, target: Target, response: urllib3.BaseHTTPResponse, answer: bytes) -> Outcome:
    status = response.status
    if 200 <= status < 300:
        return _accepted(response, answer)
    said = f"{target.where} answered {status}{_quoted(response, answer)}"
    if status in _RETRIED:
        return Outcome("retry", message=said, retry_after=retry_after(response.headers.get("Retry-After")))
    if status == 413:
        return Outcome("too_large", message=f"{said}: the request is larger than the receiver allows")
    if status == 404:
        return Outcome("unsupported", message=f"{said}: {_not_found(signal, target)}")
    return Outcome("rejected", message=f"{said}{_remedy(status, response)}")


def _accepted(response: urllib3.BaseHTTPResponse, answer: bytes) -> Outcome:
    if not response.headers.get("Content-Type", "").startswith(_PROTOBUF):
        return Outcome("accepted")
    rejected, message = partial_success(answer)
    return Outcome("accepted", rejected=rejected, message=message)


def _quoted(response: urllib3.BaseHTTPResponse, answer: bytes) -> str:
    protobuf = response.headers.get("Content-Type", "").startswith(_PROTOBUF)
    text = status_message(answer) if protobuf else answer.decode(errors="replace")
    short = " ".join(text.split())[:_LONGEST_QUOTE]
    return f" ({short})" if short else ""


def _not_found(signal: Signal, target: Target) -> str:
    if target.url.rstrip("/").endswith(signal.path):
        return f"it does not receive {signal.label} (Jaeger, for one, takes traces only), or a proxy is in the way"
    return (
        f"OTLP is received under {signal.path}; OTEL_EXPORTER_OTLP_ENDPOINT takes the base address, "
        f"OTEL_EXPORTER_OTLP_{signal.name}_ENDPOINT the whole one"
    )


def _remedy(status: int, response: urllib3.BaseHTTPResponse) -> str:
    if 300 <= status < 400:
        return (
            f": redirects are not followed, set the endpoint to {response.headers.get('Location', 'where it points')}"
        )
    if status in {401, 403}:
        return ": credentials go into OTEL_EXPORTER_OTLP_HEADERS"
    if status == 405:
        return ": the address is not one of an OTLP receiver"
    return ""


def _unreachable(target: Target, error: HTTPError, seconds: float) -> str:
    return f"{target.where} cannot be reached: {_reason(error, seconds)}{_hint(error)}"


def _reason(error: HTTPError, seconds: float) -> str:
    if _speaks_http2(error):
        return "it speaks HTTP/2, as OTLP over gRPC does"
    if isinstance(error, ProxyError):
        return f"the proxy does not answer ({error})"
    if isinstance(error, NameResolutionError):
        return "its host name is unknown"
    if isinstance(error, NewConnectionError):
        return "nobody listens there"
    if isinstance(error, (ConnectTimeoutError, ReadTimeoutError)):
        return f"no answer within {seconds:.3g} seconds"
    if isinstance(error, SSLError):
        return f"TLS failed ({error}); OTEL_EXPORTER_OTLP_CERTIFICATE names the certificate to trust"
    return f"the connection broke ({error})"


def _hint(error: HTTPError) -> str:
    if _speaks_http2(error):
        return ". Use the port of OTLP over HTTP, 4318 as a rule, or set OTEL_EXPORTER_OTLP_PROTOCOL=grpc"
    if isinstance(error, NewConnectionError):
        return ". Start a receiver there (`mmtrace serve`, a Collector), or set OTEL_EXPORTER_OTLP_ENDPOINT"
    return ""


def _speaks_http2(error: HTTPError) -> bool:
    """Whether the first thing that came back was a SETTINGS frame instead of a status line (RFC 9113, 3.4 and 6.5)."""
    cause = error.args[-1] if isinstance(error, ProtocolError) and error.args else None
    line = str(cause) if isinstance(cause, BadStatusLine) else ""
    return line.startswith("\0\0") and line[3:4] == "\x04"
