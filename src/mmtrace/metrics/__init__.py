"""Aggregates of finished model calls, and the one snapshot of them that is rendered as OTLP and for Prometheus."""

from mmtrace.metrics.aggregator import CallSeries, ModelMetrics

__all__ = ["CallSeries", "ModelMetrics"]
