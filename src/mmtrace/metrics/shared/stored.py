"""A snapshot as JSON, for the other processes of the service: what they read is checked, and nothing in it can run.

A point is a list, in the order of the fields of the SDK's type; an attribute that is a list comes back as a tuple.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Buckets,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from mmtrace.errors import DecodeError

FORMAT: Final = 1
"""Counts up when what is written changes, so that processes of two versions leave each other's files alone."""

_TOTAL: Final = AggregationTemporality.CUMULATIVE


@dataclass(frozen=True, slots=True)
class Stored:
    """What one file holds: a snapshot, and facts about whom it is of."""

    data: MetricsData
    facts: Mapping[str, Any]


def dump(data: MetricsData, **facts: Any) -> str:
    """Return `data` and `facts`, which are values of JSON, as one line of text."""
    content = {"format": FORMAT, **facts, "resources": [_resource(part) for part in data.resource_metrics]}
    return json.dumps(content, default=str, separators=(",", ":"))


def load(text: str | bytes) -> Stored:
    """Return what `dump` wrote. Raises DecodeError for anything else."""
    try:
        content = json.loads(text)
        known = content["format"] == FORMAT
        data = MetricsData([_read_resource(part) for part in content.pop("resources")] if known else [])
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise DecodeError(f"it is no snapshot: {error!r}") from error
    if not known:
        raise DecodeError(f"it has the format {content['format']!r}, not {FORMAT}")
    return Stored(data, content)


# --- writing ----------------------------------------------------------------------------------------------------------


def _resource(part: ResourceMetrics) -> list[Any]:
    return [dict(part.resource.attributes), part.resource.schema_url, [_scope(scope) for scope in part.scope_metrics]]


def _scope(part: ScopeMetrics) -> list[Any]:
    scope = part.scope
    named = [scope.name, scope.version, scope.schema_url, dict(scope.attributes or {})]
    return [*named, [_metric(metric) for metric in part.metrics]]


def _metric(metric: Metric) -> list[Any]:
    data = metric.data
    kind, point = _KINDS[type(data)][:2]
    points = [point(each) for each in data.data_points]
    return [metric.name, metric.description, metric.unit, kind, getattr(data, "is_monotonic", None), points]


def _number(point: NumberDataPoint) -> list[Any]:
    return [*_head(point), point.value, _exemplars(point)]


def _histogram(point: HistogramDataPoint) -> list[Any]:
    counted = [point.count, point.sum, list(point.bucket_counts), list(point.explicit_bounds), point.min, point.max]
    return [*_head(point), *counted, _exemplars(point)]


def _exponential(point: ExponentialHistogramDataPoint) -> list[Any]:
    sides = [[side.offset, list(side.bucket_counts)] for side in (point.positive, point.negative)]
    counted = [point.count, point.sum, point.scale, point.zero_count, *sides, point.flags, point.min, point.max]
    return [*_head(point), *counted, _exemplars(point)]


def _head(point: Any) -> list[Any]:
    return [dict(point.attributes or {}), point.start_time_unix_nano, point.time_unix_nano]


def _exemplars(point: Any) -> list[Any]:
    return [
        [dict(one.filtered_attributes or {}), one.value, one.time_unix_nano, one.span_id, one.trace_id]
        for one in point.exemplars
    ]


# --- reading ----------------------------------------------------------------------------------------------------------


def _read_resource(part: Sequence[Any]) -> ResourceMetrics:
    attributes, schema_url, scopes = part
    resource = Resource(_attributes(attributes), _text(schema_url))
    return ResourceMetrics(resource, [_read_scope(scope) for scope in scopes], resource.schema_url)


def _read_scope(part: Sequence[Any]) -> ScopeMetrics:
    name, version, schema_url, attributes, metrics = part
    scope = InstrumentationScope(_text(name), version, schema_url, _attributes(attributes))
    return ScopeMetrics(scope, [_read_metric(metric) for metric in metrics], scope.schema_url or "")


def _read_metric(metric: Sequence[Any]) -> Metric:
    name, description, unit, kind, monotonic, points = metric
    read, make = _READERS[kind]
    return Metric(_text(name), description, unit, make([read(point) for point in points], monotonic))


def _read_number(point: Sequence[Any]) -> NumberDataPoint:
    attributes, start, time, value, exemplars = point
    return NumberDataPoint(_attributes(attributes), _moment(start), int(time), _real(value), _read_exemplars(exemplars))


def _read_histogram(point: Sequence[Any]) -> HistogramDataPoint:
    attributes, start, time, count, total, counts, bounds, least, most, exemplars = point
    if len(counts) != len(bounds) + 1:
        raise ValueError(f"{len(counts)} buckets have {len(bounds)} bounds")
    counted = (int(count), _real(total), tuple(map(int, counts)), tuple(map(float, bounds)), least, most)
    return HistogramDataPoint(_attributes(attributes), _moment(start), int(time), *counted, _read_exemplars(exemplars))


def _read_exponential(point: Sequence[Any]) -> ExponentialHistogramDataPoint:
    attributes, start, time, count, total, scale, zero, *sides, flags, least, most, exemplars = point
    positive, negative = (Buckets(int(offset), tuple(map(int, counts))) for offset, counts in sides)
    counted = (int(count), _real(total), int(scale), int(zero), positive, negative, int(flags), least, most)
    return ExponentialHistogramDataPoint(
        _attributes(attributes), _moment(start), int(time), *counted, _read_exemplars(exemplars)
    )


def _read_exemplars(exemplars: Sequence[Any]) -> list[Exemplar]:
    return [
        Exemplar(_attributes(given), _real(value), int(time), span, trace)
        for given, value, time, span, trace in exemplars
    ]


def _attributes(given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _moment(value: Any) -> Any:
    """Return a start, which gauges do not have."""
    return None if value is None else int(value)


def _real(value: Any) -> int | float:
    if not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} is no number")
    return value


_Made = Callable[[Any, Any], Any]
_KINDS: Final[Mapping[type, tuple[str, Callable[[Any], list[Any]], Callable[[Sequence[Any]], Any], _Made]]] = {
    Gauge: ("gauge", _number, _read_number, lambda points, _: Gauge(points)),
    Sum: ("sum", _number, _read_number, lambda points, monotonic: Sum(points, _TOTAL, bool(monotonic))),
    Histogram: ("histogram", _histogram, _read_histogram, lambda points, _: Histogram(points, _TOTAL)),
    ExponentialHistogram: (
        "exponential",
        _exponential,
        _read_exponential,
        lambda points, _: ExponentialHistogram(points, _TOTAL),
    ),
}
_READERS: Final = {kind: (read, make) for kind, _, read, make in _KINDS.values()}
