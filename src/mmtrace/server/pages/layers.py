"""A small layered layout of a directed graph: callers left of the called, with few crossings.

After Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures" (1981): leave out
what would close a cycle, give each node a column, let a long edge pass through a place of its own in every column
between, then order each column by the mean place of its neighbours.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

Edge: TypeAlias = tuple[int, int]

_SWEEPS: Final = 8


@dataclass(frozen=True, slots=True)
class Layout:
    """`columns` hold places from top to bottom; a place is a node, or where a long edge passes.

    `ways` are the places of each edge from its source to its target.
    """

    columns: tuple[tuple[int, ...], ...]
    ways: Mapping[Edge, tuple[int, ...]]


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
    _untangle(columns, ways.values())
    return Layout(tuple(map(tuple, columns)), ways)


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


def _untangle(columns: list[list[int]], ways: Iterable[Sequence[int]]) -> None:
    """Order each column by the mean row of the neighbours on one side, to and fro."""
    beside: defaultdict[int, set[int]] = defaultdict(set)
    for way in ways:
        for here, there in pairwise(way):
            beside[here].add(there)
            beside[there].add(here)
    for sweep in range(_SWEEPS):
        ahead = sweep % 2 == 0
        order = columns if ahead else columns[::-1]
        for before, column in pairwise(order):
            row = {place: number for number, place in enumerate(before)}
            middle = {place: _mean([row[other] for other in beside[place] if other in row]) for place in column}
            column.sort(key=lambda place: middle[place])


def _mean(rows: Sequence[int]) -> float:
    return sum(rows) / len(rows) if rows else 0.0
