"""From bytes to a destination: a bounded queue, the thread that sends it, and an account of every item."""

from mmtrace.pipeline.health import FlushResult, Health
from mmtrace.pipeline.pipeline import Pipeline
from mmtrace.pipeline.signals import ACCEPTED, Exporter, Outcome, Signal
from mmtrace.pipeline.spans import SpanSink

__all__ = ["ACCEPTED", "Exporter", "FlushResult", "Health", "Outcome", "Pipeline", "Signal", "SpanSink"]
