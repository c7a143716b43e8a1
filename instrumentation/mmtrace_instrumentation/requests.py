"""requests: each request that an adapter puts on the wire, redirects included."""

import copy
from collections.abc import Generator
from typing import Any

from mmtrace.instrumenting import Instrumentation, Patch
from mmtrace_instrumentation.shapes import http


def _call(wrapped: Any, session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Generator[Any, Any, None]:
    if kwargs.get("allow_redirects") is False:  # a redirect: part of the call that follows it
        yield
    else:
        yield from http.one_call(wrapped, session, args, kwargs)


def _send(wrapped: Any, adapter: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Generator[Any, Any, None]:
    request = args[0] if args else kwargs.pop("request")
    with http.client("requests", request.method, request.url) as exchange:
        sent = copy.copy(request)
        sent.headers = exchange.headers(request.headers)
        try:
            response = yield (sent, *args[1:]), kwargs
        except Exception as error:
            http.give_back(error, sent, request)
            raise
        http.give_back(response, sent, request)
        exchange.answered(response.status_code, getattr(response.raw, "version", None))


instrumentation = Instrumentation(
    name="requests",
    library="requests",
    versions=">=2.28,<3",
    patches=(
        Patch("requests.sessions:Session.send", _call),
        Patch("requests.adapters:HTTPAdapter.send", _send),
    ),
    superseded_by=("opentelemetry.instrumentation.requests",),
)
