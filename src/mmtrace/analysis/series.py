"""Points of metrics over time, and by how much they grew."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a counter or a histogram; times in nanoseconds since the epoch.

    `buckets` counts values up to each upper bound, the last one infinite; a counter has none, and its value in `total`.
    A `cumulative` point counts since `started`, which tells one process from another; any other since the last point.
    """

    service: str
    labels: Mapping[str, str]
    started: int
    time: int
    count: int
    total: float
    buckets: Mapping[float, int] = field(default_factory=dict)
    cumulative: bool = True

    def less(self, before: "Point") -> "Point":
        """Return what came after `before`."""
        buckets = {bound: count - before.buckets.get(bound, 0) for bound, count in self.buckets.items()}
        return replace(self, count=self.count - before.count, total=self.total - before.total, buckets=buckets)


def growth(points: Iterable[Point], start: int, end: int) -> Iterator[Point]:
    """Yield by how much each series grew from point to point between two moments."""
    series: defaultdict[tuple[object, ...], list[Point]] = defaultdict(list)
    for point in points:
        started = point.started if point.cumulative else 0
        key = (point.service, started, *sorted(point.labels.items()))
        series[key].append(point)
    for found in series.values():
        before: Point | None = None
        for point in sorted(found, key=lambda point: point.time):
            grown = _grown(point, before, start)
            if start < point.time <= end and grown is not None:
                yield grown
            before = point


def _grown(point: Point, before: Point | None, start: int) -> Point | None:
    """Return what is new in a point, None where that cannot be known."""
    if not point.cumulative:
        return point
    if before is None:
        return point if point.started >= start else None
    return point.less(before)


@dataclass
class Sum:
    """Points added up."""

    count: int = 0
    total: float = 0.0
    buckets: Counter[float] = field(default_factory=Counter)

    def add(self, point: Point) -> None:
        """Add one more point."""
        self.count += point.count
        self.total += point.total
        self.buckets.update(point.buckets)

    @property
    def mean(self) -> float | None:
        """The mean of the values, None where there are none."""
        return self.total / self.count if self.count > 0 else None

    def percentile(self, fraction: float) -> float | None:
        """Return a percentile, interpolated inside its bucket; beyond the last bound, that bound."""
        rank = fraction * self.buckets.total()
        seen, low = 0, 0.0
        for bound, count in sorted(self.buckets.items()):
            if count and seen + count >= rank:
                return low if bound == float("inf") else low + (bound - low) * (rank - seen) / count
            seen, low = seen + count, bound
        return None
