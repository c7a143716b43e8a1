"""Share time out among those who claim it, each moment once."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from itertools import groupby
from typing import TypeVar

from mmtrace.analysis.intervals import Interval

K = TypeVar("K", bound=Hashable)


def share_out(claims: Iterable[tuple[K, Interval]], rank: Callable[[K], int]) -> dict[K, float]:
    """Return the nanoseconds that each claimant gets.

    A moment goes to those of lowest `rank` who claim it, in equal parts; no moment is given twice, and none is lost.
    """
    running: Counter[K] = Counter()
    given: dict[K, float] = {}
    before = 0
    for moment, turns in groupby(_turns(claims), key=lambda turn: turn[0]):
        winners = _first(running, rank)
        for key in winners:
            given[key] = given.get(key, 0.0) + (moment - before) / len(winners)
        for _, key, change in turns:
            running[key] += change
            if not running[key]:
                del running[key]
        before = moment
    return given


def _turns(claims: Iterable[tuple[K, Interval]]) -> list[tuple[int, K, int]]:
    turns = [turn for key, (start, end) in claims if start < end for turn in ((start, key, 1), (end, key, -1))]
    return sorted(turns, key=lambda turn: turn[0])


def _first(running: Iterable[K], rank: Callable[[K], int]) -> list[K]:
    lowest = min(map(rank, running), default=0)
    return [key for key in running if rank(key) == lowest]
