"""The table of models."""

from starlette.requests import Request
from starlette.responses import Response

from mmtrace.analysis import model_figures, with_metrics
from mmtrace.server.pages.filters import RANGES
from mmtrace.server.pages.points import model_growth
from mmtrace.server.pages.shell import Shell
from mmtrace.server.pages.window import window_of


class ModelsPage:
    """Shows the figures of every model."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def show(self, request: Request) -> Response:
        """Answer with the page."""
        store = self._shell.store
        window = window_of(store, request.query_params.get("range", ""))
        between = (window.start, window.end)
        spans = model_figures(window.traces, *between)
        models = with_metrics(spans, model_growth(store, window.since, window.end), *between)
        return self._shell.page("models.html", page="models", window=window, models=models, ranges=RANGES)
