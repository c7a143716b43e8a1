"""The web application: OTLP in, queries and pages out, on one port."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ExceptionHandler

from mmtrace.errors import nearest
from mmtrace.server import pages, query_api
from mmtrace.server.ingest import http
from mmtrace.server.ingest.signals import SIGNALS
from mmtrace.server.refusals import Refusal, refuse
from mmtrace.server.security import Guard, Security
from mmtrace.server.store import Store, StoreError


def create_app(store: Store, security: Security | None = None) -> Starlette:
    """Return the application on `store`; `security` by default serves loopback names and asks for no token."""
    handlers: dict[type[Exception], ExceptionHandler] = {
        Refusal: _refused,
        HTTPException: _http_error,
        StoreError: _unreadable,
    }
    return Starlette(
        routes=[*http.routes(store), *query_api.routes(store), *pages.routes(store)],
        middleware=[Middleware(Guard, security=security or Security())],
        exception_handlers=handlers,
    )


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return refuse(request, error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = {404: _nothing_here(request.url.path), 405: _wrong_method(request, error)}.get(error.status_code)
    headers = dict(error.headers) if error.headers else None
    return refuse(request, Refusal(error.status_code, message or error.detail, headers))


def _nothing_here(path: str) -> str:
    known = [signal.path for signal in SIGNALS]
    hint = f"; {nearest(path, known)}" if path.startswith("/v1") else ""
    return f"there is nothing at {path[:100]}{hint}"


def _wrong_method(request: Request, error: HTTPException) -> str:
    return f"{request.url.path} is for {(error.headers or {}).get('Allow', 'other methods')}, not {request.method[:20]}"


async def _unreadable(request: Request, error: Exception) -> Response:
    return refuse(request, Refusal(500, str(error)))
