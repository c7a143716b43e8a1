"""Metrics of mmtrace's own scope, in the value types of the OpenTelemetry SDK."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)
from opentelemetry.util.types import AttributeValue

from mmtrace import attributes as names
from mmtrace.metrics.aggregator import Reading

_TOTAL: Final = AggregationTemporality.CUMULATIVE


class Health(Protocol):
    """What the pipeline says of itself; read-only, in spans and bytes; `dropped` by reason."""

    @property
    def started(self) -> int:
        """Sampled spans that ended, and those that were adopted."""
        ...

    @property
    def adopted(self) -> int:
        """Of these, spans that an earlier process had left on disk."""
        ...

    @property
    def exported(self) -> int:
        """Spans that a receiver accepted."""
        ...

    @property
    def sampled_out(self) -> int:
        """Spans that sampling left out."""
        ...

    @property
    def dropped(self) -> Mapping[str, int]:
        """Spans that could not be kept, by reason."""
        ...

    @property
    def queue_spans(self) -> int:
        """Spans that wait."""
        ...

    @property
    def queue_bytes(self) -> int:
        """Bytes that wait."""
        ...

    @property
    def queue_capacity(self) -> int:
        """Bytes that may wait."""
        ...

    @property
    def spool_spans(self) -> int:
        """Spans that wait on disk."""
        ...

    @property
    def spool_bytes(self) -> int:
        """Bytes that wait on disk."""
        ...


def of_readings(readings: Iterable[Reading], start: int, now: int) -> Iterator[Metric]:
    """Yield the metrics of mmtrace that were measured; `start` and `now` in nanoseconds since the epoch."""
    by_metric: dict[str, list[Reading]] = {}
    for reading in readings:
        by_metric.setdefault(reading.line.metric.name, []).append(reading)
    for metric in names.METRICS:
        points = by_metric.get(metric.name)
        if points and metric.kind == "histogram":
            yield _metric(metric, Histogram([_histogram_point(point, start, now) for point in points], _TOTAL))
        elif points:
            yield of_numbers(metric, [(point.line.attributes, point.value) for point in points], start, now)


def of_pipeline(health: Health, start: int, now: int) -> Iterator[Metric]:
    """Yield the metrics of the pipeline; `start` and `now` in nanoseconds since the epoch."""
    values = (
        (names.SDK_SPANS_STARTED, health.started),
        (names.SDK_SPANS_ADOPTED, health.adopted),
        (names.SDK_SPANS_EXPORTED, health.exported),
        (names.SDK_SPANS_SAMPLED_OUT, health.sampled_out),
    )
    for metric, value in values:
        yield of_numbers(metric, [({}, value)], start, now)
    if health.dropped:
        dropped = [({names.LABEL_REASON: reason}, spans) for reason, spans in health.dropped.items()]
        yield of_numbers(names.SDK_SPANS_DROPPED, dropped, start, now)
    gauges = (
        (names.SDK_QUEUE_SPANS, health.queue_spans),
        (names.SDK_QUEUE_BYTES, health.queue_bytes),
        (names.SDK_QUEUE_CAPACITY, health.queue_capacity),
        (names.SDK_SPOOL_SPANS, health.spool_spans),
        (names.SDK_SPOOL_BYTES, health.spool_bytes),
    )
    for metric, value in gauges:
        yield of_numbers(metric, [({}, value)], start, now)


def of_numbers(
    metric: names.Metric, values: Iterable[tuple[Mapping[str, AttributeValue], float]], start: int, now: int
) -> Metric:
    """Return a metric whose points are `values` by their attributes; times in nanoseconds since the epoch."""
    points = [NumberDataPoint(dict(attributes), start, now, value) for attributes, value in values]
    if metric.kind == "gauge":
        return _metric(metric, Gauge(points))
    return _metric(metric, Sum(points, _TOTAL, is_monotonic=metric.kind == "counter"))


def _metric(metric: names.Metric, data: Histogram | Sum | Gauge) -> Metric:
    return Metric(metric.name, metric.description, metric.unit, data)


def _histogram_point(reading: Reading, start: int, now: int) -> HistogramDataPoint:
    """Return the point of a histogram; it has neither least nor greatest value, which OTLP leaves optional."""
    unknown: Any = None
    return HistogramDataPoint(
        attributes=dict(reading.line.attributes),
        start_time_unix_nano=start,
        time_unix_nano=now,
        count=sum(reading.counts),
        sum=reading.sum,
        bucket_counts=reading.counts,
        explicit_bounds=reading.line.bounds,
        min=unknown,
        max=unknown,
        exemplars=[
            Exemplar({}, exemplar.value, exemplar.time, exemplar.span_id, exemplar.trace_id)
            for exemplar in reading.exemplars
        ],
    )
