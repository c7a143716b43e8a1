"""Starlette: one SERVER span a request, named after the routes that its applications matched."""

from collections.abc import Generator
from typing import Any

from mmtrace.instrumenting import Instrumentation, Patch
from mmtrace_instrumentation.shapes import asgi


def _serve(wrapped: Any, app: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Generator[Any, Any, None]:
    if (request := asgi.request(app, *args)) is None:
        yield
        return
    with request:
        yield (args[0], request.receive, request.send), {}


def _route(wrapped: Any, route: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Generator[None, Any, None]:
    asgi.routed(args[0], route.path_format)
    yield


def _mount(wrapped: Any, mount: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Generator[None, Any, None]:
    asgi.mounted(args[0], mount.path)
    yield


instrumentation = Instrumentation(
    name="starlette",
    library="starlette",
    versions=">=0.37,<2",
    patches=(
        Patch("starlette.applications:Starlette.__call__", _serve),
        Patch("starlette.routing:Route.handle", _route),
        Patch("starlette.routing:WebSocketRoute.handle", _route),
        Patch("starlette.routing:Mount.handle", _mount),
    ),
    superseded_by=("opentelemetry.instrumentation.starlette",),
)
