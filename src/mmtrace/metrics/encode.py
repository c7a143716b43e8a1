"""A snapshot as the body of an OTLP request, by the stock encoder."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import Metric, MetricsData, ResourceMetrics, ScopeMetrics

from mmtrace.recording.guard import report

MAX_POINTS: Final = 2000
"""Data points of one request: with full histograms and exemplars some 3 MB, below what gRPC servers take."""


def encode(data: MetricsData) -> tuple[bytes, int]:
    """Return the body of an ExportMetricsServiceRequest and the number of its data points.

    A metric that cannot be encoded, because a number has over 64 bits for example, is left out and reported.
    """
    try:
        return encode_metrics(data).SerializeToString(), count(data)
    except Exception as error:
        bad = getattr(error, "metric", None)
        if bad is None:
            raise
        report("metrics.encode", f"mmtrace: the metric {bad.name!r} cannot be encoded and is left out: {error!r}")
        return encode(_without(data, bad))


def requests(data: MetricsData, max_points: int = MAX_POINTS) -> Iterator[tuple[bytes, int]]:
    """Yield the bodies of requests of at most `max_points` data points each, with their numbers of points."""
    for part in split(data, max_points):
        yield encode(part)


def count(data: MetricsData) -> int:
    """Return the number of data points."""
    return sum(
        len(metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )


def split(data: MetricsData, max_points: int) -> Iterator[MetricsData]:
    """Yield `data` in parts of at most `max_points` data points; nothing at all where there are none."""
    part: list[tuple[ResourceMetrics, ScopeMetrics, Metric]] = []
    room = max_points
    for resource, scope, metric in _metrics(data):
        for piece in _pieces(metric, room, max_points):
            points = len(piece.data.data_points)
            if points > room:
                yield _joined(part)
                part, room = [], max_points
            part.append((resource, scope, piece))
            room -= points
    if part:
        yield _joined(part)


def _metrics(data: MetricsData) -> Iterator[tuple[ResourceMetrics, ScopeMetrics, Metric]]:
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                yield resource, scope, metric


def _pieces(metric: Metric, first: int, further: int) -> Iterator[Metric]:
    """Yield `metric` in pieces: one of up to `first` points, to fill a part, then of up to `further`."""
    data: Any = metric.data
    points = list(data.data_points)
    size = first or further
    while points:
        yield replace(metric, data=replace(data, data_points=points[:size]))
        points, size = points[size:], further


def _joined(part: list[tuple[ResourceMetrics, ScopeMetrics, Metric]]) -> MetricsData:
    scopes: dict[int, tuple[ResourceMetrics, dict[int, tuple[ScopeMetrics, list[Metric]]]]] = {}
    for resource, scope, metric in part:
        _, of_resource = scopes.setdefault(id(resource), (resource, {}))
        of_resource.setdefault(id(scope), (scope, []))[1].append(metric)
    return MetricsData(
        [
            replace(resource, scope_metrics=[replace(scope, metrics=metrics) for scope, metrics in parts.values()])
            for resource, parts in scopes.values()
        ]
    )


def _without(data: MetricsData, bad: Metric) -> MetricsData:
    return _joined([found for found in _metrics(data) if found[2] is not bad])
