"""OTLP over HTTP: POST to /v1/traces, /v1/metrics and /v1/logs, in protobuf or JSON.

Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mmtrace.server.ingest.bodies import Body, Room
from mmtrace.server.ingest.forms import FORMS
from mmtrace.server.ingest.signals import SIGNALS, Signal, take
from mmtrace.server.refusals import JSON, PROTOBUF, Refusal, media_type
from mmtrace.server.store import Store

_DECODERS: Final = 2
"""How many bodies are decoded at a time, each in a thread: a bound on memory."""


def routes(store: Store) -> list[Route]:
    """Return the routes that take telemetry into `store`."""
    room, limiter = Room(), anyio.CapacityLimiter(_DECODERS)
    return [
        Route(signal.path, _endpoint(store, signal, room, limiter), methods=["POST"], name=signal.path)
        for signal in SIGNALS
    ]


def _endpoint(
    store: Store, signal: Signal, room: Room, limiter: anyio.CapacityLimiter
) -> Callable[[Request], Awaitable[Response]]:
    async def export(request: Request) -> Response:
        kind = media_type(request)
        if kind not in FORMS:
            raise Refusal(415, f"the content type {kind[:40]!r} is not known; send {PROTOBUF} or {JSON}")
        encoding = request.headers.get("content-encoding", "").strip().lower()
        with Body(request, room) as body:
            content = await body.read()
            answer = await to_thread.run_sync(take, store, signal, FORMS[kind], content, encoding, limiter=limiter)
        return Response(answer, media_type=kind)

    return export
