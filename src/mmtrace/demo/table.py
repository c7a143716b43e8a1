"""The demo's live table: what the traces of the last minute say about each model."""

import json
import time
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

import httpx
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mmtrace.analysis.models import ModelFigures, model_figures
from mmtrace.demo.load import MODELS, Tally
from mmtrace.errors import DecodeError
from mmtrace.otlp.decode import decode_traces_json
from mmtrace.spans import SpanData, Trace

WINDOW = 60.0
"""Seconds that the figures are of."""
_EVERY = 2.0


class ModelTable:
    """Figures of the models, read from the viewer every two seconds; counts alone where there is no viewer."""

    def __init__(self, viewer: str | None) -> None:
        self._viewer = viewer
        self._figures: Sequence[ModelFigures] = ()
        self._read_at = 0.0

    def render(self, tally: Tally) -> RenderableType:
        """Return the table and a line about the requests."""
        if self._viewer is not None and time.monotonic() - self._read_at > _EVERY:
            self._figures = _read(self._viewer) or self._figures
            self._read_at = time.monotonic()
        return Group(_table(tally, {figures.model: figures for figures in self._figures}), _line(tally))


def _read(viewer: str) -> Sequence[ModelFigures]:
    end = datetime.now(timezone.utc)
    start = end - timedelta(seconds=WINDOW)
    question = {
        "query.service_name": "gateway",
        "query.start_time_min": start.isoformat(),
        "query.start_time_max": end.isoformat(),
        "query.num_traces": "500",
    }
    try:
        answer = httpx.get(f"{viewer}/api/v3/traces", params=question, timeout=5)
        traces = _traces(decode_traces_json(json.dumps(answer.raise_for_status().json()["result"])))
    except (httpx.HTTPError, DecodeError):
        return ()
    return model_figures(traces, int(start.timestamp() * 1e9), int(end.timestamp() * 1e9))


def _traces(spans: Sequence[SpanData]) -> list[Trace]:
    by_trace: dict[int, list[SpanData]] = {}
    for span in spans:
        by_trace.setdefault(span.trace_id, []).append(span)
    return [Trace.of(spans) for spans in by_trace.values()]


def _table(tally: Tally, figures: dict[str, ModelFigures]) -> Table:
    table = Table(title="Models", title_justify="left", title_style="bold")
    table.add_column("model", no_wrap=True)
    for column in ("calls", "p50", "p95", "p99", "first output p95", "queue p95", "batch"):
        table.add_column(column, justify="right")
    for model in MODELS:
        table.add_row(model, str(tally.models[model]), *_cells(figures.get(model)))
    return table


def _cells(figures: ModelFigures | None) -> tuple[str, ...]:
    if figures is None:
        return ("",) * 6
    batch = "" if figures.batch_size is None else f"{figures.batch_size:.1f}"
    seconds = (figures.p50, figures.p95, figures.p99, figures.first_output_p95, figures.queue_p95)
    return (*map(_duration, seconds), batch)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def _line(tally: Tally) -> Text:
    text = Text(f"{tally.requests} answered, {tally.right} digits right, {len(tally.slow)} made slow", style="dim")
    if tally.failed:
        text.append(f", {tally.failed} failed", style="bold red")
    if tally.sentence:
        text.append(f'\n"{tally.sentence}"')
    return text
