"""Which spans of a trace are calls of models, counted as the metrics count them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from mmtrace import attributes as names
from mmtrace.spans import SpanData, Trace

_BATCH = "batch "


def is_batch(span: SpanData) -> bool:
    """Whether `span` is one executed batch, which serves the requests that it is linked to."""
    return span.model is not None and span.name.startswith(_BATCH)


def is_share(span: SpanData) -> bool:
    """Whether `span` is one request's share of a batch."""
    return span.model is not None and bool(span.links) and span.queue_duration is not None and not is_batch(span)


def outcome(span: SpanData) -> str:
    """Return how a call ended: ok, error or cancelled."""
    return str(span.attributes.get(names.OUTCOME) or ("error" if span.is_error else "ok"))


@dataclass(frozen=True)
class Calls:
    """The calls of models in one trace.

    A call counts where it lies in no other call or batch of its process, where the user named its model, or where it
    is a request's share of a batch. A runtime's call inside any of these is a part of it.
    """

    trace: Trace

    @cached_property
    def enclosing(self) -> Mapping[int, SpanData]:
        """The counted call or batch that each span is, or lies in within its process; other spans are missing."""
        found: dict[int, SpanData] = {}
        for _, span in self.trace.walk():
            outer = self._outer(span, found)
            owner = span if _counts(span, outer) else outer
            if owner is not None:
                found[span.span_id] = owner
        return found

    def _outer(self, span: SpanData, enclosing: Mapping[int, SpanData]) -> SpanData | None:
        parent = self.trace.by_id.get(span.parent_span_id or 0)
        same_process = parent is not None and parent.resource == span.resource
        return enclosing.get(parent.span_id) if parent is not None and same_process else None

    @cached_property
    def counted(self) -> tuple[SpanData, ...]:
        """The calls that the metrics count, by start time; batches are none."""
        return tuple(span for span in self._owners() if not is_batch(span))

    @cached_property
    def batches(self) -> tuple[SpanData, ...]:
        """The executed batches."""
        return tuple(span for span in self._owners() if is_batch(span))

    def _owners(self) -> Iterator[SpanData]:
        return (span for span in self.trace.spans if self.enclosing.get(span.span_id) is span)

    def serving(self, span: SpanData) -> SpanData | None:
        """Return the first call or batch at or below `span`, for whom a message waited; None where there is none."""
        stack, seen = [span], {span.span_id}
        while stack:
            found = stack.pop()
            if self.enclosing.get(found.span_id) is found:
                return found
            unseen = [child for child in self.trace.children(found) if child.span_id not in seen]
            seen.update(child.span_id for child in unseen)
            stack.extend(reversed(unseen))
        return None


def _counts(span: SpanData, outer: SpanData | None) -> bool:
    if span.model is None:
        return False
    named_by_user = names.MODEL_NAME in span.attributes and not span.attributes.get(names.MODEL_FRAMEWORK)
    return outer is None or named_by_user or is_batch(span) or is_share(span)
