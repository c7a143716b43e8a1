"""How long each span worked itself, and when its children did."""

from dataclasses import dataclass

from mmtrace.analysis.intervals import Interval, clip, length, merge
from mmtrace.spans import SpanData, Trace


@dataclass(frozen=True, slots=True)
class SelfTime:
    """`seconds` in which no child ran; `children` are the merged times of the children, inside the span's own."""

    seconds: float
    children: tuple[Interval, ...]


def self_time(trace: Trace, span: SpanData) -> SelfTime:
    """Return the time of `span` less the time of its children, which may overlap each other or outlive it."""
    bounds = (span.start_time, span.end_time)
    inner = merge(clip(((child.start_time, child.end_time) for child in trace.children(span)), bounds))
    return SelfTime(max(0, bounds[1] - bounds[0] - length(inner)) / 1e9, tuple(inner))
