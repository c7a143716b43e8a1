"""httpx and httpx2: each request that a client puts on the wire, redirects and authentication included."""

from collections.abc import Generator
from functools import partial
from typing import Any

from mmtrace.instrumenting import Instrumentation, Patch
from mmtrace_instrumentation.shapes import http

_Wrapper = Generator[Any, Any, None]


def _send(library: str, wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Wrapper:
    request = args[0] if args else kwargs["request"]
    with http.client(library, request.method, str(request.url)) as exchange:
        sent = _with_headers(request, exchange.headers(request.headers))
        try:
            response = yield (sent,), {}
        except Exception as error:
            http.give_back(error, sent, request)
            raise
        http.give_back(response, sent, request)
        exchange.answered(response.status_code, response.http_version)


def _with_headers(request: Any, headers: Any) -> Any:
    """Return a copy of `request`; copy.copy() would leave out its body."""
    copied = object.__new__(type(request))
    vars(copied).update(vars(request), headers=headers)
    return copied


def _of(library: str, versions: str) -> Instrumentation:
    return Instrumentation(
        name=library,
        library=library,
        versions=versions,
        patches=(
            Patch(f"{library}:Client.send", http.one_call),
            Patch(f"{library}:AsyncClient.send", http.one_call),
            Patch(f"{library}:Client._send_single_request", partial(_send, library)),
            Patch(f"{library}:AsyncClient._send_single_request", partial(_send, library)),
        ),
        superseded_by=("opentelemetry.instrumentation.httpx",),
    )


instrumentation = _of("httpx", ">=0.25,<1")
instrumentation2 = _of("httpx2", ">=2.14,<3")
