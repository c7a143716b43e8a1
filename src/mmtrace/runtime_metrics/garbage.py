"""Garbage collections: how long the process stood, by generation, and the span in which that fell."""

import gc
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from opentelemetry.trace import Span as AnySpan

from mmtrace import attributes as names
from mmtrace.attributes import Metric
from mmtrace.calls import telemetry
from mmtrace.metrics.aggregator import Reading
from mmtrace.recording.current import SPAN_KEY, current_in_collection
from mmtrace.recording.span import Span
from mmtrace.runtime_metrics.histogram import Histogram

_GENERATIONS: Final = 3
_FELT: Final = 0.001
"""Seconds from which on a pause is worth an example: the shortest ones fall into every span."""
_STATISTICS: Final = (
    (names.GC_COLLECTIONS, "collections"),
    (names.GC_COLLECTED_OBJECTS, "collected"),
    (names.GC_UNCOLLECTABLE_OBJECTS, "uncollectable"),
)


class Garbage:
    """Measures collections between `start` and `stop`.

    `_on_collection` runs inside the allocation of whichever thread set the collection off: it takes no lock, logs
    nothing and raises nothing. Only one collection runs at a time, so one place for its beginning is enough.
    """

    def __init__(self) -> None:
        self._began: float | None = None
        self._pauses = [
            Histogram(names.GC_PAUSE, {names.LABEL_GENERATION: str(generation)}) for generation in range(_GENERATIONS)
        ]
        self._before: list[Mapping[str, int]] = [{}] * _GENERATIONS

    def start(self) -> None:
        """Measure from now on."""
        if self._on_collection not in gc.callbacks:
            gc.callbacks.append(self._on_collection)

    def stop(self) -> None:
        """Measure no more."""
        self._began = None
        if self._on_collection in gc.callbacks:
            gc.callbacks.remove(self._on_collection)

    def start_over(self) -> None:
        """Count from zero, in a forked child: the interpreter's own counters go on from the parent's."""
        self._began = None
        self._before = list(gc.get_stats())
        for histogram in self._pauses:
            histogram.start_over()

    def readings(self) -> Iterator[Reading]:
        """Yield what was measured of pauses."""
        for histogram in self._pauses:
            reading = histogram.reading()
            if reading is not None:
                yield reading

    def counts(self) -> Iterator[tuple[Metric, list[tuple[dict[str, Any], int]]]]:
        """Yield what the interpreter has counted, by metric and then by generation."""
        statistics = list(zip(gc.get_stats(), self._before, strict=True))
        for metric, key in _STATISTICS:
            yield (
                metric,
                [
                    ({names.CPYTHON_GC_GENERATION: generation}, now[key] - before.get(key, 0))
                    for generation, (now, before) in enumerate(statistics)
                ],
            )

    def _on_collection(self, phase: str, facts: Mapping[str, int]) -> None:
        try:
            if phase == "start":
                self._began = time.perf_counter()
            elif self._began is not None:
                seconds, self._began = time.perf_counter() - self._began, None
                self._count(self._pauses[facts["generation"]], seconds)
        except Exception:  # the interpreter would print it
            return

    def _count(self, histogram: Histogram, seconds: float) -> None:
        span = _current_span() if seconds >= _FELT and telemetry.current.exemplars else None
        context = span.get_span_context() if span is not None else None
        if context is None or not context.trace_flags.sampled:
            histogram.add(seconds)
        elif histogram.add(seconds, context.trace_id, context.span_id) and isinstance(span, Span):
            span.set_attribute(names.EXEMPLAR, True)  # a span of the stock SDK would take a lock


def _current_span() -> AnySpan | None:
    context = current_in_collection()
    found = context.get(SPAN_KEY) if context else None
    return found if isinstance(found, AnySpan) else None
