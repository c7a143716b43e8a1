"""FastAPI: one SERVER span a request, ours in every version.

From 0.142 on FastAPI traces itself as soon as there is a tracer provider. Its own span is asked to step aside, because
it cannot be made right from outside: it ends a cancelled request as an error, keeps no exception, and comes with two or
three INTERNAL spans a request that tell less than what the endpoint calls. An application that was given a tracer
provider of its own, or that excludes a request, has decided otherwise, and is left to it.

With FASTAPI_OTEL_AUTO_CONFIGURE it adds exporters for the receiver that OTEL_EXPORTER_OTLP_ENDPOINT names to whatever
provider there is. Ours sends there already, so they are left out, or all would arrive twice.
"""

from collections.abc import Generator
from typing import Any, Final

from opentelemetry.trace import get_tracer_provider

from mmtrace.instrumenting import Instrumentation, Patch, report
from mmtrace_instrumentation.shapes import asgi

_OWN: Final = "fastapi.telemetry"
"""Where the scope of a request holds FastAPI's own telemetry; where anything is there already, it makes none."""


def _serve(wrapped: Any, app: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Generator[Any, Any, None]:
    scope = args[0]
    if scope["type"] == "lifespan":
        _leave_sending_to_us(app)
    if _decides_itself(app, scope):
        asgi.leave(scope)
    elif (request := asgi.request(app, *args)) is not None:
        scope[_OWN] = None
        with request:
            yield (scope, request.receive, request.send), {}
        return
    elif asgi.is_served(scope):
        scope.setdefault(_OWN, None)
    yield


def _decides_itself(app: Any, scope: Any) -> bool:
    own = getattr(app, "_telemetry", {})
    excludes = own.get("exclude")
    return own.get("tracer_provider") is not None or bool(excludes and scope["type"] != "lifespan" and excludes(scope))


def _leave_sending_to_us(app: Any) -> None:
    own = getattr(app, "_telemetry", {})
    ours = getattr(get_tracer_provider(), "replaced_by_application", True) is False
    if ours and own.get("auto_configure") and own.get("tracer_provider") is None:
        own["auto_configure"] = False
        report("fastapi", "mmtrace: FastAPI adds no exporters of its own: what it would send is sent already")


def _route(wrapped: Any, route: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Generator[None, Any, None]:
    included = args[0].get("fastapi", {}).get("effective_route_context")
    path = included.path_format if getattr(included, "original_route", None) is route else route.path_format
    asgi.routed(args[0], path)
    yield


instrumentation = Instrumentation(
    name="fastapi",
    library="fastapi",
    versions=">=0.110,<1",
    patches=(
        Patch("fastapi.applications:FastAPI.__call__", _serve),
        Patch("fastapi.routing:APIRoute.handle", _route),
    ),
    superseded_by=("opentelemetry.instrumentation.fastapi",),
)
