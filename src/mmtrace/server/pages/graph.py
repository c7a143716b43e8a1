"""The map: which model or service calls which, drawn from left to right."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from mmtrace.analysis import CallGraph, EdgeFigures, NodeFigures, call_graph
from mmtrace.server.pages.filters import RANGES, Filters
from mmtrace.server.pages.layers import Layout, layered
from mmtrace.server.pages.shell import Shell
from mmtrace.server.pages.window import window_of

_COLUMN: Final = 300
_ROW: Final = 120
_MARGIN: Final = 90
_FOOT: Final = 30
_SMALLEST: Final = 14.0
_LARGEST: Final = 40.0
_LEAST_RIM: Final = 8.0
"""So much red is seen, however few the errors."""


@dataclass(frozen=True, slots=True)
class Dot:
    """A node on the map; `rim` is the length of the red part of its rim."""

    figures: NodeFigures
    x: float
    y: float
    radius: float
    rim: float
    around: float
    address: str


@dataclass(frozen=True, slots=True)
class Line:
    """An edge on the map: an SVG path, and the place of its label."""

    figures: EdgeFigures
    path: str
    width: float
    x: float
    y: float
    address: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """Everything on the map."""

    width: int
    height: int
    dots: tuple[Dot, ...]
    lines: tuple[Line, ...]


class MapPage:
    """Shows the map."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def show(self, request: Request) -> Response:
        """Answer with the page."""
        window = window_of(self._shell.store, request.query_params.get("range", ""))
        graph = call_graph(window.traces, window.start, window.end)
        return self._shell.page("map.html", page="map", window=window, drawing=draw(graph, window.range), ranges=RANGES)


def draw(graph: CallGraph, time_range: str = "") -> Drawing:
    """Place nodes and edges of `graph`; its addresses ask for traces of `time_range`."""
    number = {figures.node: place for place, figures in enumerate(graph.nodes)}
    layout = layered(len(number), ((number[edge.source], number[edge.target]) for edge in graph.edges))
    at = _points(layout)
    most = max((edge.calls for edge in graph.edges), default=1)
    filters = Filters(range=time_range)
    dots = tuple(_dot(figures, at[place], filters) for place, figures in enumerate(graph.nodes))
    radii = {place: dot.radius for place, dot in enumerate(dots)}
    lines = tuple(
        _line(edge, [at[place] for place in way], (radii[way[0]], radii[way[-1]]), most, filters)
        for edge in graph.edges
        for way in (layout.ways[number[edge.source], number[edge.target]],)
    )
    width = 2 * _MARGIN + _COLUMN * max(len(layout.columns) - 1, 0)
    height = _ROW * (max(layout.heights.values(), default=0.0) + 1) + _FOOT
    return Drawing(width, round(height), dots, lines)


def _points(layout: Layout) -> Mapping[int, tuple[float, float]]:
    return {
        place: (_MARGIN + at * _COLUMN, _ROW * (layout.heights[place] + 0.5))
        for at, column in enumerate(layout.columns)
        for place in column
    }


def _dot(figures: NodeFigures, point: tuple[float, float], filters: Filters) -> Dot:
    radius = _SMALLEST + (_LARGEST - _SMALLEST) * math.sqrt(min(figures.share, 1.0))
    around = 2 * math.pi * (radius + 3)
    address = filters.address(service=figures.node.service, model=figures.node.model or "")
    rim = max(around * figures.error_ratio, _LEAST_RIM) if figures.errors else 0.0
    return Dot(figures, *point, radius, rim, around, address)


def _line(
    edge: EdgeFigures, points: Sequence[tuple[float, float]], radii: tuple[float, float], most: int, filters: Filters
) -> Line:
    first, last = points[0], points[-1]
    way = [(first[0] + radii[0] + 3, first[1]), *points[1:-1], (last[0] - radii[1] - 10, last[1])]
    middle = len(way) // 2
    before, after = way[middle - 1], way[middle]
    return Line(
        figures=edge,
        path=_curve(way),
        width=1.5 + 3.0 * math.log1p(edge.calls) / math.log1p(most),
        x=(before[0] + after[0]) / 2,
        y=(before[1] + after[1]) / 2,
        address=filters.address(
            service=(edge.source if edge.target.model else edge.target).service,
            model=edge.target.model or edge.source.model or "",
        ),
    )


def _curve(way: Sequence[tuple[float, float]]) -> str:
    parts = [f"M{way[0][0]:.1f} {way[0][1]:.1f}"]
    for (x, y), (to_x, to_y) in pairwise(way):
        bend = max(abs(to_x - x) / 2, 30)
        parts.append(f"C{x + bend:.1f} {y:.1f} {to_x - bend:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}")
    return "".join(parts)
