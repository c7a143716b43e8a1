"""OTLP over HTTP, in protobuf: one POST a batch.

Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp.
"""

import gzip
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote, urljoin

import urllib3
from urllib3.exceptions import HTTPError, ProtocolError, SSLError
from urllib3.util import parse_url

from mmtrace.errors import ConfigurationError
from mmtrace.export import pem
from mmtrace.export.answers import partial_success, retry_after, status_message
from mmtrace.export.ports import mistaken
from mmtrace.export.punctual import make_punctual
from mmtrace.export.target import Target
from mmtrace.export.unreachable import HTTP_PORT, unreachable
from mmtrace.transport.clock import now
from mmtrace.transport.signals import Outcome, Signal

_PROTOBUF: Final = "application/x-protobuf"
_RETRIED: Final = frozenset({429, 502, 503, 504})
_REPEATED_ELSEWHERE: Final = frozenset({307, 308})
_MOST_REDIRECTS: Final = 3
_LONGEST_ANSWER: Final = 1 << 16
_LONGEST_QUOTE: Final = 200
_NO_TIME: Final = 0.001
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_WEB_PAGE: Final = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype|html|head|body|!--)", re.IGNORECASE)

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
            packed = _COMPRESS.get(target.compression, bytes)(body)
            return self._deliver(signal, target, target.url, packed, now() + seconds)
        except HTTPError as error:
            return Outcome("retry", message=unreachable(target, error, seconds), answered=False)

    def _deliver(
        self, signal: Signal, target: Target, url: str, body: bytes, end: float, redirects: int = _MOST_REDIRECTS
    ) -> Outcome:
        """POST to `url`, and to where it points as far as that is safe."""
        response = self._post(signal, target, url, body, end)
        answer = _read(response)
        there = _repeated_at(url, response) if redirects else None
        if there is not None:
            return self._deliver(signal, target, there, body, end, redirects - 1)
        return _outcome(signal, target, response, answer)

    def _post(self, signal: Signal, target: Target, url: str, body: bytes, end: float) -> urllib3.BaseHTTPResponse:
        """Return the response; tries again at once where a connection that was kept alive turns out to be closed."""
        manager = self._manager(target)
        pool = manager.connection_from_url(url)
        connections = pool.num_connections
        try:
            return _request(manager, url, body, self._headers[signal], end)
        except (ProtocolError, SSLError):
            if pool.num_connections > connections:
                raise
            return _request(manager, url, body, self._headers[signal], end)

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

    def _manager(self, target: Target) -> urllib3.PoolManager:
        key = (target.proxy, target.files)
        if key not in self._pools:
            self._pools[key] = _new_manager(target)
        return self._pools[key]


def _new_manager(target: Target) -> urllib3.PoolManager:
    files = {"ca_certs": target.certificate, "cert_file": target.client_certificate, "key_file": target.client_key}
    given: dict[str, Any] = {name: path for name, path in files.items() if path is not None}
    if target.proxy is not None:
        credentials = parse_url(target.proxy).auth
        headers = urllib3.make_headers(proxy_basic_auth=unquote(credentials)) if credentials else None
        manager: urllib3.PoolManager = urllib3.ProxyManager(target.proxy, maxsize=1, proxy_headers=headers, **given)
    else:
        manager = urllib3.PoolManager(maxsize=1, **given)
    make_punctual(manager)
    return manager


def _request(
    manager: urllib3.PoolManager, url: str, body: bytes, headers: Mapping[str, str], end: float
) -> urllib3.BaseHTTPResponse:
    return manager.request(
        "POST",
        url,
        body=body,
        headers=headers,
        timeout=urllib3.Timeout(total=max(end - now(), _NO_TIME)),
        retries=False,
        redirect=False,
        preload_content=False,
    )


def _repeated_at(url: str, response: urllib3.BaseHTTPResponse) -> str | None:
    """Return where the same request shall go, where that is the same host, and no step back from TLS.

    Headers may be secrets of this host, so they go to no other. Source: RFC 9110, 15.4.
    """
    if response.status not in _REPEATED_ELSEWHERE:
        return None
    there = urljoin(url, response.headers.get("Location", ""))
    old, new = parse_url(url), parse_url(there)
    allowed = new.scheme in {"https", old.scheme}
    return there if allowed and new.host == old.host and there != url else None


def _check(target: Target) -> None:
    try:
        parts = parse_url(target.url)
    except HTTPError:
        parts = None
    if parts is None or parts.scheme not in {"http", "https"} or not parts.host:
        meant = "" if "://" in target.url else f": did you mean http://{target.url}?"
        raise ConfigurationError(f"{target.url!r} is no address for OTLP over HTTP, like http://localhost:4318{meant}")
    pem.check(target)


def _headers(target: Target, agent: str) -> dict[str, str]:
    credentials = parse_url(target.url).auth
    basic = urllib3.make_headers(basic_auth=unquote(credentials)) if credentials else {}
    headers = {"User-Agent": agent, **basic, **target.headers, "Content-Type": _PROTOBUF}
    if target.compression in _COMPRESS:
        headers["Content-Encoding"] = target.compression
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ConfigurationError(f"the header {name!r} cannot be sent over HTTP: a character in it is not allowed")
    return headers


def _read(response: urllib3.BaseHTTPResponse) -> bytes:
    """Return the body, or none where it breaks off: the status has said what became of the request."""
    answer = b""
    try:
        answer = response.read(_LONGEST_ANSWER, decode_content=True)
        if response.read(1):
            response.close()
    except HTTPError:
        response.close()
    finally:
        response.release_conn()
    return answer


def _outcome(signal: Signal, target: Target, response: urllib3.BaseHTTPResponse, answer: bytes) -> Outcome:
    status = response.status
    if 200 <= status < 300:
        return _accepted(signal, target, response, answer)
    said = f"{target.where} answered {status}{_quoted(response, answer)}"
    if status in _RETRIED:
        wish = retry_after(response.headers.get("Retry-After"), response.headers.get("Date"))
        return Outcome("retry", message=said, retry_after=wish)
    if status == 413:
        return Outcome("too_large", message=f"{said}: the request is larger than the receiver allows")
    hint = mistaken(target.url, HTTP_PORT)
    if status == 404:
        return Outcome("unsupported", message=f"{said}: {_wrong_path(signal, target) or _not_found(signal)}{hint}")
    return Outcome("rejected", message=f"{said}{_remedy(signal, target, response, answer)}{hint}")


def _accepted(signal: Signal, target: Target, response: urllib3.BaseHTTPResponse, answer: bytes) -> Outcome:
    if _WEB_PAGE.match(answer):
        meant = _wrong_path(signal, target) or "nothing there receives OTLP"
        hint = mistaken(target.url, HTTP_PORT)
        return Outcome("rejected", message=f"{target.where} answered with a web page: {meant}{hint}")
    if not response.headers.get("Content-Type", "").startswith(_PROTOBUF):
        return Outcome("accepted")
    rejected, message = partial_success(answer)
    return Outcome("accepted", rejected=rejected, message=message)


def _quoted(response: urllib3.BaseHTTPResponse, answer: bytes) -> str:
    protobuf = response.headers.get("Content-Type", "").startswith(_PROTOBUF)
    text = status_message(answer) if protobuf else answer.decode(errors="replace")
    short = " ".join(text.split())[:_LONGEST_QUOTE]
    return f" ({short})" if short else ""


def _not_found(signal: Signal) -> str:
    return f"it does not receive {signal.label} (Jaeger, for one, takes traces only), or a proxy is in the way"


def _wrong_path(signal: Signal, target: Target) -> str:
    url = target.url.rstrip("/")
    if url.endswith(signal.path):
        twice = url.removesuffix(signal.path).endswith(tuple(each.path for each in Signal))
        return f"{signal.path} is added to OTEL_EXPORTER_OTLP_ENDPOINT: leave /v1/... out of it" if twice else ""
    return (
        f"OTLP is received under {signal.path}; OTEL_EXPORTER_OTLP_ENDPOINT takes the base address, "
        f"OTEL_EXPORTER_OTLP_{signal.name}_ENDPOINT the whole one"
    )


def _remedy(signal: Signal, target: Target, response: urllib3.BaseHTTPResponse, answer: bytes) -> str:
    status = response.status
    if 300 <= status < 400:
        return f": it points elsewhere, set the endpoint to {response.headers.get('Location', 'where that is')}"
    if status in {401, 403}:
        return ": credentials go into OTEL_EXPORTER_OTLP_HEADERS"
    if status == 407:
        return ": the proxy asks for user and password, which go into the address of the proxy"
    if status == 405:
        return f": {_wrong_path(signal, target) or 'the address is not one of an OTLP receiver'}"
    if status == 400 and b"HTTPS" in answer:
        return ": it speaks TLS. Set the endpoint to https:// in place of http://"
    return ""
