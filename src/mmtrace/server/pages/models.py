"""The table of models."""

from starlette.requests import Request
from starlette.responses import Response

from mmtrace.analysis import model_figures
from mmtrace.server.pages.filters import RANGES
from mmtrace.server.pages.shell import Shell
from mmtrace.server.pages.window import window_of


class ModelsPage:
    """Shows the figures of every model."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def show(self, request: Request) -> Response:
        """Answer with the page."""
        window = window_of(self._shell.store, request.query_params.get("range", ""))
        models = model_figures(window.traces, window.start, window.end)
        return self._shell.page("models.html", page="models", window=window, models=models, ranges=RANGES)
