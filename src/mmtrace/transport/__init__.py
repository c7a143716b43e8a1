"""From bytes to a destination: a bounded queue, the thread that sends it, and an account of every item."""

from mmtrace.transport.health import FlushResult, Health
from mmtrace.transport.pipeline import Pipeline
from mmtrace.transport.signals import ACCEPTED, Exporter, Outcome, Signal
from mmtrace.transport.spans import SpanSink

__all__ = ["ACCEPTED", "Exporter", "FlushResult", "Health", "Outcome", "Pipeline", "Signal", "SpanSink"]
