"""The pages of the viewer: what a person sees of the store."""

from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from mmtrace.server.pages.graph import MapPage
from mmtrace.server.pages.live import Live
from mmtrace.server.pages.models import ModelsPage
from mmtrace.server.pages.shell import HERE, SafeHeaders, Shell
from mmtrace.server.pages.trace import TracePage
from mmtrace.server.pages.traces import TracesPage
from mmtrace.server.store import Store


def routes(store: Store) -> list[BaseRoute]:
    """Return the routes of all pages on `store`; each answers with headers that let nothing foreign run."""
    shell = Shell(store)
    traces, trace, models, graph, live = (
        TracesPage(shell),
        TracePage(shell),
        ModelsPage(shell),
        MapPage(shell),
        Live(shell),
    )
    safe = [Middleware(SafeHeaders)]
    return [
        Route("/", traces.show, middleware=safe),
        Route("/rows", traces.rows, middleware=safe),
        Route("/trace/{trace}", trace.show, middleware=safe),
        Route("/trace/{trace}/count", trace.count, middleware=safe),
        Route("/trace/{trace}/logs", trace.logs, middleware=safe),
        Route("/trace/{trace}/span/{span}", trace.span, middleware=safe),
        Route("/models", models.show, middleware=safe),
        Route("/map", graph.show, middleware=safe),
        Route("/live", live.stream, middleware=safe),
        Mount("/static", StaticFiles(directory=HERE / "static"), name="static", middleware=safe),
    ]
