"""A snapshot as the metric families of `prometheus-client`: the same names and values as by OTLP.

Prometheus knows no growth: what is not a total is left out and reported. So is a metric whose name another metric of
another kind has already, and a point whose labels another point has already; whoever comes first stays.
"""

import bisect
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client.core import Metric as Family
from prometheus_client.samples import Exemplar as FamilyExemplar
from prometheus_client.samples import Sample, Timestamp
from prometheus_client.utils import floatToGoString

from mmtrace import attributes as names
from mmtrace.metrics.prometheus_names import Kind, family_name, label_value, labels
from mmtrace.recording.guard import report

_SUFFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    "counter": ("", "_total", "_created"),
    "gauge": ("",),
    "histogram": ("", "_bucket", "_count", "_sum", "_created"),
    "info": ("", "_info"),
}
_LARGEST_EXPONENT: Final = 1023


def families(data: MetricsData) -> list[Family]:
    """Return all metrics of `data`, led by `target_info` with the attributes of its first resource."""
    exposition = _Exposition()
    for number, part in enumerate(data.resource_metrics):
        if number == 0:
            exposition.target(part.resource)
        for scope in part.scope_metrics:
            scope_labels = _scope_labels(scope.scope)
            for metric in scope.metrics:
                exposition.add(metric, scope_labels)
    return exposition.families()


class _Exposition:
    """Families under construction: each name belongs to one of them, each sample appears once."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}
        self._owners: dict[str, str] = {}
        self._samples: set[tuple[str, frozenset[tuple[str, str]]]] = set()

    def families(self) -> list[Family]:
        return [family for family in self._families.values() if family.samples]

    def target(self, resource: Resource) -> None:
        family = self._family("target", "info", "", "Target metadata")
        given = labels(resource.attributes)
        if family is not None and given:
            self._put(family, [Sample("target_info", given, 1.0)])

    def add(self, metric: Metric, scope_labels: Mapping[str, str]) -> None:
        kind = _kind(metric.data)
        if kind is None:
            report("metrics.prometheus.growth", f"mmtrace: {metric.name!r} is no total: Prometheus cannot take it")
            return
        name, unit = family_name(metric.name, metric.unit or "", kind)
        family = self._family(name, kind, unit, metric.description or "")
        if family is None:
            report(f"metrics.prometheus.name.{name}", f"mmtrace: two metrics are called {name!r}; one is left out")
            return
        for point in metric.data.data_points:
            self._put(family, list(_samples(name, kind, point, scope_labels)))

    def _family(self, name: str, kind: str, unit: str, description: str) -> Family | None:
        """Return the family of that name and kind, a new one if need be, or None where the name is taken."""
        known = self._families.get(name)
        if known is not None:
            return known if known.type == kind else None
        claimed = [name + suffix for suffix in _SUFFIXES[kind]]
        if any(name in self._owners for name in claimed):
            return None
        self._owners.update(dict.fromkeys(claimed, name))
        family = self._families[name] = Family(name, label_value(description), kind, unit)
        return family

    def _put(self, family: Family, samples: Sequence[Sample]) -> None:
        keys = [(sample.name, frozenset(sample.labels.items())) for sample in samples]
        if any(key in self._samples for key in keys):
            report(f"metrics.prometheus.point.{family.name}", f"mmtrace: {family.name!r} has two points of one name")
            return
        self._samples.update(keys)
        family.samples.extend(samples)


def _kind(data: object) -> Kind | None:
    """Return what Prometheus calls it; None where it is growth instead of a total."""
    if isinstance(data, Gauge):
        return "gauge"
    if getattr(data, "aggregation_temporality", None) is not AggregationTemporality.CUMULATIVE:
        return None
    if isinstance(data, Sum):
        return "counter" if data.is_monotonic else "gauge"
    return "histogram" if isinstance(data, (Histogram, ExponentialHistogram)) else None


def _scope_labels(scope: InstrumentationScope) -> dict[str, str]:
    """Return the labels that tell metrics of one name apart; mmtrace's own are alone in their names and have none."""
    if scope.name == names.SCOPE:
        return {}
    given = {"name": scope.name, "version": scope.version, "schema_url": scope.schema_url}
    return labels({f"otel_scope_{key}": value for key, value in {**(scope.attributes or {}), **given}.items()})


def _samples(name: str, kind: Kind, point: Any, scope_labels: Mapping[str, str]) -> Iterator[Sample]:
    reserved = frozenset(scope_labels) | ({"le"} if kind == "histogram" else set())
    given = {**labels(point.attributes, reserved), **scope_labels}
    if isinstance(point, NumberDataPoint):
        exemplar = _latest(point.exemplars) if kind == "counter" else None
        yield Sample(f"{name}_total" if kind == "counter" else name, given, point.value, exemplar=exemplar)
    else:
        yield from _histogram_samples(name, given, point)


def _histogram_samples(
    name: str, given: Mapping[str, str], point: HistogramDataPoint | ExponentialHistogramDataPoint
) -> Iterator[Sample]:
    bounds, counts = _classic(point)
    by_bucket: dict[int, list[Exemplar]] = {}
    for exemplar in point.exemplars:
        by_bucket.setdefault(bisect.bisect_left(bounds, exemplar.value), []).append(exemplar)
    edges = [str(floatToGoString(bound)) for bound in (*bounds, math.inf)]  # type: ignore[no-untyped-call]
    for bucket, (edge, below) in enumerate(zip(edges, itertools.accumulate(counts), strict=True)):
        yield Sample(f"{name}_bucket", {**given, "le": edge}, below, exemplar=_latest(by_bucket.get(bucket, ())))
    if (
        not bounds or bounds[0] >= 0
    ):  # a sum that can fall is no counter, as OpenMetrics has it, and count goes with sum
        yield Sample(f"{name}_count", dict(given), point.count)
        yield Sample(f"{name}_sum", dict(given), point.sum)


def _classic(point: HistogramDataPoint | ExponentialHistogramDataPoint) -> tuple[Sequence[float], Sequence[int]]:
    """Return bounds and counts; those of an exponential histogram are zero and the powers of two that it reaches.

    Its buckets nest in those of a smaller scale, so that nothing is estimated; what is below zero counts as zero.
    """
    if isinstance(point, HistogramDataPoint):
        return point.explicit_bounds, point.bucket_counts
    step = 1 << max(-point.scale, 0)
    counts: dict[int, int] = {}
    for index, count in enumerate(point.positive.bucket_counts, point.positive.offset):
        exponent = ((index >> max(point.scale, 0)) + 1) * step
        counts[exponent] = counts.get(exponent, 0) + count
    beyond = sum(counts.pop(exponent) for exponent in list(counts) if exponent > _LARGEST_EXPONENT)
    zero = point.zero_count + sum(point.negative.bucket_counts)
    return [0.0, *(2.0**exponent for exponent in counts)], [zero, *counts.values(), beyond]


def _latest(exemplars: Sequence[Exemplar]) -> FamilyExemplar | None:
    if not exemplars:
        return None
    newest = max(exemplars, key=lambda exemplar: exemplar.time_unix_nano)
    ids = (
        {}
        if newest.trace_id is None
        else {"trace_id": f"{newest.trace_id:032x}", "span_id": f"{newest.span_id or 0:016x}"}
    )
    seconds, rest = divmod(newest.time_unix_nano, 1_000_000_000)
    return FamilyExemplar(ids, float(newest.value), Timestamp(seconds, rest))
