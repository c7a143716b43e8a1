"""A small layered layout of a directed graph: callers left of the called, with few crossings.

After Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures" (1981): leave out
what would close a cycle, give each node a column, let a long edge pass through a place of its own in every column
between, then order each column by the mean place of its neighbours.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

Edge: TypeAlias = tuple[int, int]

_SWEEPS: Final = 8


@dataclass(frozen=True, slots=True)
class Layout:
    """`columns` hold places from top to bottom; a place is a node, or where a long edge passes.

    `ways` are the places of each edge from its source to its target, `heights` how many rows below the top a place is.
    """

    columns: tuple[tuple[int, ...], ...]
    ways: Mapping[Edge, tuple[int, ...]]
    heights: Mapping[int, float]


def layered(count: int, edges: Iterable[Edge]) -> Layout:
    """Lay out the nodes 0 to `count` - 1; where the edges leave a choice, smaller ones come first."""
    distinct = [edge for edge in dict.fromkeys(edges) if edge[0] != edge[1]]
    column = _columns(count, _forward(count, distinct))
    columns: list[list[int]] = [[] for _ in range(max(column, default=-1) + 1)]
    for node in range(count):
        columns[column[node]].append(node)
    ways: dict[Edge, tuple[int, ...]] = {}
    places = count
    for source, target in distinct:
        passed = _between(column[source], column[target])
        ways[source, target] = (source, *range(places, places + len(passed)), target)
        for at in passed:
            columns[at].append(places)
            places += 1
    beside = _neighbours(ways.values())
    _untangle(columns, beside)
    return Layout(tuple(map(tuple, columns)), ways, _heights(columns, beside))


def _forward(count: int, edges: Iterable[Edge]) -> list[Edge]:
    """Return the edges that do not lead back to where a walk from the first nodes came from."""
    after: defaultdict[int, list[int]] = defaultdict(list)
    for source, target in edges:
        after[source].append(target)
    forward: list[Edge] = []
    on_the_way: dict[int, bool] = {}
    for first in range(count):
        stack = [] if first in on_the_way else [(first, iter(after[first]))]
        while stack:
            node, targets = stack[-1]
            on_the_way[node] = True
            target = next(targets, -1)
            if target < 0:
                on_the_way[node] = False
                stack.pop()
            elif not on_the_way.get(target):
                forward.append((node, target))
                if target not in on_the_way:
                    stack.append((target, iter(after[target])))
    return forward


def _columns(count: int, forward: Sequence[Edge]) -> list[int]:
    """Give each node the first column right of all its callers."""
    column = [0] * count
    for _ in range(count):
        for source, target in forward:
            column[target] = max(column[target], column[source] + 1)
    return column


def _between(source: int, target: int) -> range:
    return range(source + 1, target) if source < target else range(source - 1, target, -1)


def _neighbours(ways: Iterable[Sequence[int]]) -> Mapping[int, set[int]]:
    """Return the places that each place has a line to."""
    beside: defaultdict[int, set[int]] = defaultdict(set)
    for way in ways:
        for here, there in pairwise(way):
            beside[here].add(there)
            beside[there].add(here)
    return beside


def _sweeps(columns: Sequence[list[int]]) -> Iterator[tuple[list[int], list[int]]]:
    """Yield pairs of columns, the one that stands and the one to follow it, to and fro."""
    for sweep in range(_SWEEPS):
        yield from pairwise(columns if sweep % 2 == 0 else columns[::-1])


def _untangle(columns: Sequence[list[int]], beside: Mapping[int, set[int]]) -> None:
    """Order each column by the mean row of the neighbours on one side."""
    for standing, column in _sweeps(columns):
        row = {place: float(number) for number, place in enumerate(standing)}
        middle = {place: _mean(row, beside.get(place, ()), 0.0) for place in column}
        column.sort(key=lambda place: middle[place])


def _heights(columns: Sequence[list[int]], beside: Mapping[int, set[int]]) -> Mapping[int, float]:
    """Put each place level with its neighbours on one side, as far as the order of its column leaves room."""
    height = {place: float(row) for column in columns for row, place in enumerate(column)}
    for standing, column in _sweeps(columns):
        known = {place: height[place] for place in standing}
        wanted = [_mean(known, beside.get(place, ()), height[place]) for place in column]
        height.update(zip(column, _apart(wanted), strict=True))
    top = min(height.values(), default=0.0)
    return {place: found - top for place, found in height.items()}


def _apart(wanted: Sequence[float]) -> list[float]:
    """Return heights near the `wanted` ones, in their order, at least one row apart."""
    found: list[float] = []
    for height in wanted:
        found.append(max(height, found[-1] + 1) if found else height)
    drift = sum(one - other for one, other in zip(found, wanted, strict=True)) / len(found)
    return [height - drift for height in found]


def _mean(known: Mapping[int, float], places: Iterable[int], otherwise: float) -> float:
    found = [known[place] for place in places if place in known]
    return sum(found) / len(found) if found else otherwise
