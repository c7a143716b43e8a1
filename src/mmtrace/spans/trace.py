"""The spans of one trace as a tree."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from mmtrace.spans.data import SpanData


@dataclass(frozen=True)
class Trace:
    """All known spans of one trace, ordered by start time."""

    trace_id: int
    spans: tuple[SpanData, ...]

    @classmethod
    def of(cls, spans: Iterable[SpanData]) -> "Trace":
        """Make the trace of `spans`; a span that came twice counts once.

        Raises ValueError where there is no span, or they belong to several traces.
        """
        by_id = {span.span_id: span for span in spans}
        trace_ids = {span.trace_id for span in by_id.values()}
        if len(trace_ids) != 1:
            raise ValueError(f"a trace has spans of one trace id, got {len(trace_ids)} ids")
        ordered = sorted(by_id.values(), key=lambda span: (span.start_time, -span.end_time))
        return cls(trace_ids.pop(), tuple(ordered))

    @cached_property
    def by_id(self) -> dict[int, SpanData]:
        """Every span by its id."""
        return {span.span_id: span for span in self.spans}

    @cached_property
    def roots(self) -> tuple[SpanData, ...]:
        """Spans without a parent, or whose parent is not here."""
        return tuple(span for span in self.spans if span.parent_span_id not in self.by_id)

    @cached_property
    def root(self) -> SpanData:
        """The span that names the trace: the first without any parent, else the first orphan."""
        return next((span for span in self.roots if span.parent_span_id is None), self.roots[0])

    @cached_property
    def _children(self) -> dict[int | None, tuple[SpanData, ...]]:
        found: dict[int | None, list[SpanData]] = {}
        for span in self.spans:
            found.setdefault(span.parent_span_id, []).append(span)
        return {parent: tuple(spans) for parent, spans in found.items()}

    def children(self, span: SpanData) -> tuple[SpanData, ...]:
        """The direct children of `span`, by start time."""
        return self._children.get(span.span_id, ())

    def walk(self) -> Iterator[tuple[int, SpanData]]:
        """Yield (depth, span), parents before children; spans in a cycle of parents come last, at depth 0."""
        seen: set[int] = set()
        for first in (*self.roots, *self.spans):
            stack = [(0, first)]
            while stack:
                depth, span = stack.pop()
                if span.span_id in seen:
                    continue
                seen.add(span.span_id)
                yield depth, span
                stack.extend((depth + 1, child) for child in reversed(self.children(span)))

    @property
    def start_time(self) -> int:
        """The earliest start, in nanoseconds since the epoch."""
        return self.spans[0].start_time

    @cached_property
    def end_time(self) -> int:
        """The latest end, in nanoseconds since the epoch."""
        return max(span.end_time for span in self.spans)

    @property
    def duration(self) -> float:
        """Seconds from the earliest start to the latest end."""
        return max(0, self.end_time - self.start_time) / 1e9

    @cached_property
    def services(self) -> tuple[str, ...]:
        """Names of the services, in order of their first span."""
        return tuple(dict.fromkeys(span.service for span in self.spans))

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Names of the models that were called, in order of their first call."""
        return tuple(dict.fromkeys(span.model for span in self.spans if span.model))

    @cached_property
    def errors(self) -> int:
        """How many spans ended in an error."""
        return sum(span.is_error for span in self.spans)
