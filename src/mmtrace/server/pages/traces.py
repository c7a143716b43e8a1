"""The list of traces: a plot, a table and filters."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from mmtrace.server.pages.filters import RANGES, Filters
from mmtrace.server.pages.shell import Shell
from mmtrace.server.store import TraceSummary


@dataclass(frozen=True, slots=True)
class Found:
    """The traces that the filters let through; `more` is whether there may be others."""

    traces: tuple[TraceSummary, ...]
    more: bool


class TracesPage:
    """Shows the traces that a person asks for."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._store = shell.store

    def show(self, request: Request) -> Response:
        """Answer with the page."""
        filters = Filters.of(request.query_params)
        found = self._find(filters)
        return self._shell.page(
            "traces.html",
            page="traces",
            filters=filters,
            found=found,
            ranges=RANGES,
            services=self._store.services(),
            models=self._store.models(),
            endpoint=str(request.base_url).rstrip("/"),
        )

    def rows(self, request: Request) -> Response:
        """Answer with the rows alone, for a page that is open already."""
        filters = Filters.of(request.query_params)
        return self._shell.fragment("rows.html", filters=filters, found=self._find(filters))

    def _find(self, filters: Filters) -> Found:
        found = self._store.search(filters.query())
        if filters.order == "slowest":
            found.sort(key=lambda trace: -trace.duration)
        return Found(tuple(found[: filters.limit]), len(found) >= filters.limit)
