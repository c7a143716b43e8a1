"""Flask: one SERVER span a request, named after the rule that it matched; a body that streams runs in its context."""

import sys
from collections.abc import Generator
from typing import Any

from mmtrace.instrumenting import Instrumentation, Patch
from mmtrace_instrumentation.shapes import wsgi


def _serve(wrapped: Any, app: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Generator[Any, Any, Any]:
    if (request := wsgi.request(*args)) is None:
        yield
        return None
    with request.starting():
        body = yield (args[0], request.start_response), {}
    return request.body(body)


def _dispatch(wrapped: Any, app: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Generator[None, Any, None]:
    request = sys.modules["flask"].request
    if request.url_rule is not None:
        wsgi.routed(request.environ, request.url_rule.rule)
    yield


def _fail(wrapped: Any, app: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Generator[None, Any, None]:
    wsgi.failed(sys.modules["flask"].request.environ, args[-1])
    yield


instrumentation = Instrumentation(
    name="flask",
    library="flask",
    versions=">=2.3,<4",
    patches=(
        Patch("flask.app:Flask.wsgi_app", _serve),
        Patch("flask.app:Flask.dispatch_request", _dispatch),
        Patch("flask.app:Flask.handle_exception", _fail),
    ),
    superseded_by=("opentelemetry.instrumentation.flask",),
)
