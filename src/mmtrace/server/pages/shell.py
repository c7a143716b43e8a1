"""What all pages share: the templates, the colours of services, and the headers that keep foreign code out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmtrace.server.pages import formats
from mmtrace.server.pages.palette import Palette
from mmtrace.server.store import Store

HERE: Final = Path(__file__).parent.parent
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""No script, style or picture but our own files: what a span says cannot run, and no request leaves the server."""

_HEADERS: Final = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}


class SafeHeaders:
    """Adds to every response of an application the headers that pages need beyond those of the whole server."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve as the application does."""

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._app(scope, receive, send_safely)


class Shell:
    """Renders pages around what the store knows."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.palette = Palette()
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(
            duration=formats.duration,
            rate=formats.rate,
            percent=formats.percent,
            ratio=formats.ratio,
            count=formats.count,
            size=formats.size,
            iso=formats.iso,
            trace_id=formats.trace_id,
            span_id=formats.span_id,
            sparkline=formats.sparkline,
            three=formats.three,
            slot=self.palette.slot,
        )

    def page(self, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """Render a whole page."""
        self.palette.seed(self.store.services())
        return self._render(template, {"stats": self.store.stats(), **values}, status)

    def fragment(self, template: str, **values: Any) -> HTMLResponse:
        """Render a part of a page, which its script puts in place."""
        self.palette.seed(self.store.services())
        return self._render(template, values, 200)

    def missing(self, request: Request, title: str, message: str) -> HTMLResponse:
        """Render the page that says that something is not here."""
        return self.page("missing.html", status=404, title=title, message=message)

    def _render(self, template: str, values: Mapping[str, Any], status: int) -> HTMLResponse:
        return HTMLResponse(self._templates.get_template(template).render(values), status)
