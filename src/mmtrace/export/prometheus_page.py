"""The page that Prometheus scrapes, and applications that answer with it."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Protocol, TypeAlias

from opentelemetry.sdk.metrics.export import MetricsData
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder, generate_latest, gzip_accepted

from mmtrace.metrics.exposition import families

PLAIN: Final = "text/plain; version=0.0.4; charset=utf-8"
"""The type of the text format that every Prometheus reads."""

_Headers: TypeAlias = list[tuple[str, str]]
_Wsgi: TypeAlias = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_Asgi: TypeAlias = Callable[[Mapping[str, Any], Callable[..., Any], Callable[..., Any]], Awaitable[None]]

_MISSING: Final = (
    b'mmtrace has no metrics that can be scraped: call mmtrace.configure() with metrics_exporter="app", "prometheus", '
    b'or "otlp" with cumulative temporality\n'
)
_MISSING_HEADERS: Final[_Headers] = [
    ("Content-Type", "text/plain; charset=utf-8"),
    ("Content-Length", str(len(_MISSING))),
]


class Source(Protocol):
    """What takes the snapshots; its counters and histograms are totals."""

    def collect(self) -> MetricsData:
        """Return every metric there is."""
        ...


class Page:
    """The metrics of `source` as Prometheus asks for them: text or OpenMetrics, which has the exemplars, and gzip."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def collect(self) -> Iterator[Family]:
        """Yield the metric families; this is what makes it a collector of `prometheus-client`."""
        yield from families(self._source.collect())

    def render(self, accept: str, accept_encoding: str) -> tuple[_Headers, bytes]:
        """Return headers and body for what a request accepts; what it writes there in error gets plain text."""
        try:
            encoder, content_type = choose_encoder(accept)
        except Exception:
            encoder, content_type = generate_latest, PLAIN
        body = encoder(self._registry)
        headers = [("Content-Type", content_type)]
        if gzip_accepted(accept_encoding):
            body = gzip.compress(body, mtime=0)
            headers.append(("Content-Encoding", "gzip"))
        return [*headers, ("Content-Length", str(len(body)))], body


def wsgi_app(find: Callable[[], Source | None]) -> _Wsgi:
    """Return a WSGI application that answers every path with the metrics of the source that `find` returns."""

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method = environ.get("REQUEST_METHOD", "GET")
        if method not in {"GET", "HEAD"}:
            start_response("405 Method Not Allowed", [("Allow", "GET, HEAD"), ("Content-Length", "0")])
            return [b""]
        source = find()
        if source is None:
            start_response("503 Service Unavailable", _MISSING_HEADERS)
            return [b"" if method == "HEAD" else _MISSING]
        headers, body = Page(source).render(environ.get("HTTP_ACCEPT", ""), environ.get("HTTP_ACCEPT_ENCODING", ""))
        start_response("200 OK", headers)
        return [b"" if method == "HEAD" else body]

    return application


def asgi_app(find: Callable[[], Source | None]) -> _Asgi:
    """Return an ASGI application that answers every path with the metrics of the source that `find` returns.

    Under asyncio the page is made in a thread, so that the requests of the service do not wait for it.
    """

    async def application(scope: Mapping[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] != "http":
            raise ValueError(f"the metrics are no {scope['type']}: ask for them by HTTP")
        elif scope["method"] not in {"GET", "HEAD"}:
            await _respond(send, 405, [("Allow", "GET, HEAD"), ("Content-Length", "0")], b"")
        elif (source := find()) is None:
            await _respond(send, 503, _MISSING_HEADERS, b"" if scope["method"] == "HEAD" else _MISSING)
        else:
            headers, body = await _in_thread(
                lambda: Page(source).render(_header(scope, b"accept"), _header(scope, b"accept-encoding"))
            )
            await _respond(send, 200, headers, b"" if scope["method"] == "HEAD" else body)

    return application


async def _lifespan(receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})


async def _respond(send: Callable[..., Any], status: int, headers: _Headers, body: bytes) -> None:
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


async def _in_thread(render: Callable[[], tuple[_Headers, bytes]]) -> tuple[_Headers, bytes]:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return render()
    return await loop.run_in_executor(None, render)


def _header(scope: Mapping[str, Any], name: bytes) -> str:
    return ",".join(value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name)
