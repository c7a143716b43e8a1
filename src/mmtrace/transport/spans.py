"""The span processor that encodes a span where it ends and queues the bytes."""

from collections.abc import Sequence
from typing import Any

from opentelemetry.trace import SpanContext

from mmtrace.otlp.encode import encode_span, frame_of
from mmtrace.recording.guard import report
from mmtrace.transport.pipeline import Pipeline
from mmtrace.transport.signals import Signal


class SpanSink:
    """A stock SpanProcessor for any number of pipelines; safe in any thread and any finalizer."""

    on_start = None
    _on_ending = None

    def __init__(self, pipelines: Sequence[Pipeline]) -> None:
        self._pipelines = tuple(pipelines)

    def on_end(self, span: Any) -> None:
        """Encode a sampled span and add it to every pipeline."""
        context = span.context
        flags = context[3] if type(context) is SpanContext else context.trace_flags
        if not flags & 1:
            for pipeline in self._pipelines:
                pipeline.leave_out()
            return
        try:
            frame, payload = frame_of(span), encode_span(span)
        except Exception as error:
            self._lose(error)
            return
        for pipeline in self._pipelines:
            pipeline.spans.put(frame, payload, 1)

    def _lose(self, error: Exception) -> None:
        report(
            "mmtrace.transport.encode_span", f"mmtrace: a span could not be encoded and was dropped: {error!r}", error
        )
        for pipeline in self._pipelines:
            pipeline.lose(Signal.TRACES, "encode_error")

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver what is queued; False where something still waits, in memory or on disk, or was dropped."""
        results = [pipeline.flush(timeout_millis / 1000) for pipeline in self._pipelines]
        return not any(result.waiting or result.spooled or result.dropped for result in results)

    def shutdown(self) -> None:
        """Do nothing: a pipeline outlives the providers that feed it, and whoever made it ends it."""
