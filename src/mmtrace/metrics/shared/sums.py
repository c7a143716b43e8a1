"""The sum of the snapshots of many processes.

Counters and histograms are summed over all processes, dead ones included. Sums that go up and down are summed over the
living. What cannot be summed (gauges, and what is of a process or of hardware by its name) stays apart, with the id of
its process.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from opentelemetry.sdk.metrics.export import (
    Gauge,
    Metric,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from mmtrace import attributes as names
from mmtrace.metrics.aggregator import MAX_LABEL_SETS
from mmtrace.metrics.shared.addition import Point, add, is_zero, zero
from mmtrace.metrics.snapshot import service_attributes
from mmtrace.metrics.temporality import identity

_APART: Final = ("process.", "hw.")
"""How names begin of what is each process's own, or the same hardware seen by all."""


@dataclass(frozen=True, slots=True)
class OfProcess:
    """What one process measured; `identity` are the attributes that tell its own points apart."""

    data: MetricsData
    identity: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Kind:
    """What tells one metric from another: where it is from, its name, its unit and what it is."""

    resource: tuple[tuple[str, Any], ...]
    schema_url: str
    scope: InstrumentationScope
    name: str
    unit: str | None
    type: type
    monotonic: bool

    @property
    def stays_apart(self) -> bool:
        """Whether each process tells its own."""
        return self.type is Gauge or self.name.startswith(_APART)

    @property
    def is_total(self) -> bool:
        """Whether the dead count, too."""
        return self.monotonic and not self.stays_apart


@dataclass(slots=True)
class _Series:
    """The time series of one metric, and one snapshot's metric for what they have in common."""

    sample: Metric
    points: dict[object, Point]


_All: TypeAlias = dict[_Kind, _Series]


class Sums:
    """The totals of the dead, to which those of the living are added.

    Every time series that was ever shown has a place among the totals, at least with a zero. So when there are more
    label sets than `limit`, it is the same ones that go to the overflow set in every process and for ever.

    Args:
        totals: of the dead, from `totals` of another one.
        limit: label sets of one metric.
    """

    def __init__(self, totals: MetricsData, limit: int = MAX_LABEL_SETS) -> None:
        self._limit = limit
        self._totals: _All = {}
        self.changed = False
        for kind, metric in _metrics(totals):
            series = self._totals.setdefault(kind, _Series(metric, {}))
            series.points.update((identity(point.attributes), point) for point in metric.data.data_points)

    def bury(self, data: MetricsData) -> None:
        """Add what a process measured that has died."""
        self.changed = True
        for kind, metric in _metrics(data):
            if kind.is_total:
                places = self._places(kind, metric)
                for point in metric.data.data_points:
                    key, placed = self._placed(places, point)
                    _add(places, key, placed)

    def with_living(self, living: Iterable[OfProcess]) -> _All:
        """Return everything there is to say now."""
        found = {kind: _Series(series.sample, dict(series.points)) for kind, series in self._totals.items()}
        for process in living:
            for kind, metric in _metrics(process.data):
                points = found.setdefault(kind, _Series(metric, {})).points
                places = self._places(kind, metric) if kind.is_total else None
                for point in metric.data.data_points:
                    if places is not None:
                        key, placed = self._placed(places, point)
                    else:
                        placed = _with(point, process.identity) if kind.stays_apart else point
                        key = identity(placed.attributes)
                    _add(points, key, placed)
        return found

    def totals(self) -> MetricsData:
        """Return the totals of the dead."""
        return _data(self._totals, lambda attributes: attributes)

    def _places(self, kind: _Kind, metric: Metric) -> dict[object, Point]:
        return self._totals.setdefault(kind, _Series(metric, {})).points

    def _placed(self, places: dict[object, Point], point: Point) -> tuple[object, Point]:
        """Return the key of the series that takes the point, which exists from now on, and the point as part of it."""
        key = identity(point.attributes)
        if key not in places and len(places) >= self._limit:
            point = replace(point, attributes={names.METRIC_OVERFLOW: True})
            key = identity(point.attributes)
        if key not in places:
            places[key] = zero(point)
            self.changed = True
        return key, point


def _add(points: dict[object, Point], key: object, point: Point) -> None:
    known = points.get(key)
    points[key] = point if known is None or is_zero(known) else add(known, point)


def _with(point: Point, more: Mapping[str, Any]) -> Point:
    return replace(point, attributes={**(point.attributes or {}), **more})


def rendered(found: _All, *, instance: str, start: int, now: int) -> MetricsData:
    """Return what `with_living` found, as one snapshot of the service, whose totals all began at `start`."""
    for kind, series in found.items():
        if not kind.stays_apart:
            series.points = {
                key: replace(point, start_time_unix_nano=start, time_unix_nano=max(now, start))
                for key, point in series.points.items()
            }
    return _data(found, lambda attributes: {names.SERVICE_INSTANCE_ID: instance, **attributes})


def _metrics(data: MetricsData) -> Iterator[tuple[_Kind, Metric]]:
    for part in data.resource_metrics:
        given = service_attributes(part.resource.attributes)
        origin = tuple(sorted(given.items(), key=lambda item: item[0]))
        for scope in part.scope_metrics:
            for metric in scope.metrics:
                monotonic = metric.data.is_monotonic if isinstance(metric.data, Sum) else True
                what = (metric.name, metric.unit or "", type(metric.data))
                yield _Kind(origin, part.resource.schema_url, scope.scope, *what, monotonic), metric


def _data(found: _All, attributes: Callable[[dict[str, Any]], dict[str, Any]]) -> MetricsData:
    parts: dict[Any, dict[InstrumentationScope, list[Metric]]] = {}
    for kind, series in found.items():
        if series.points:
            data: Any = replace(series.sample.data, data_points=list(series.points.values()))  # type: ignore[arg-type]
            scopes = parts.setdefault((kind.resource, kind.schema_url), {})
            scopes.setdefault(kind.scope, []).append(replace(series.sample, data=data))
    return MetricsData(
        [
            ResourceMetrics(
                Resource(attributes(dict(resource)), schema_url),
                [ScopeMetrics(scope, metrics, scope.schema_url or "") for scope, metrics in scopes.items()],
                schema_url,
            )
            for (resource, schema_url), scopes in parts.items()
        ]
    )
