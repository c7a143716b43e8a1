"""Spans of our own behind the OpenTelemetry API: providers, tracers, propagation and sampling."""

from mmtrace.recording.limits import SpanLimits
from mmtrace.recording.provider import TracerProvider
from mmtrace.recording.span import Span
from mmtrace.recording.tracer import Tracer

__all__ = ["Span", "SpanLimits", "Tracer", "TracerProvider"]
