"""Traces written by hand: times in milliseconds, ids counted up."""

import itertools
from collections.abc import Callable

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from mmtrace import attributes as names
from mmtrace.spans import Event, Link, Resource, SpanData, Trace

EPOCH = 1_800_000_000_000_000_000
MS = 1_000_000


class Storyteller:
    """Writes the spans of one trace."""

    def __init__(self, trace_id, ids):
        self.trace_id = trace_id
        self._ids = ids
        self.spans = []

    def span(self, name, start, end, *, parent=None, service="gateway", kind="internal", links=(), events=(), **more):
        attributes = {key: value for key, value in more.items() if key.count(".")}
        error = more.get("error", False)
        made = SpanData(
            trace_id=self.trace_id,
            span_id=next(self._ids),
            name=name,
            start_time=EPOCH + round(start * MS),
            end_time=EPOCH + round(end * MS),
            parent_span_id=parent.span_id if parent else None,
            kind=SpanKind[kind.upper()],
            attributes=attributes,
            events=tuple(Event(event, EPOCH + round(at * MS)) for event, at in events),
            links=tuple(Link(other.trace_id, other.span_id) for other in links),
            status=StatusCode.ERROR if error else StatusCode.UNSET,
            resource=Resource({names.SERVICE_NAME: service}),
        )
        self.spans.append(made)
        return made

    def call(self, model, start, end, *, name=None, queue=None, compute_at=None, first=None, **more):
        """A model call; `queue` in milliseconds, `compute_at` and `first` as moments."""
        attributes = {names.MODEL_NAME: model}
        if queue is not None:
            attributes[names.QUEUE_DURATION] = queue / 1e3
        moments = ((names.COMPUTE_START, compute_at), (names.FIRST_OUTPUT, first))
        events = [*more.pop("events", ()), *((event, at) for event, at in moments if at is not None)]
        return self.span(name or f"infer {model}", start, end, events=events, **{**attributes, **more})

    @property
    def trace(self):
        return Trace.of(self.spans)


@pytest.fixture
def story() -> Callable[[], Storyteller]:
    """Begin the story of one more trace."""
    span_ids, trace_ids = itertools.count(1), itertools.count(1)
    return lambda: Storyteller(next(trace_ids), span_ids)


@pytest.fixture
def shares() -> Callable[..., dict]:
    """Return shares as {(model, phase): milliseconds}."""
    return lambda spent: {(it.model, it.phase.value): round(it.seconds * 1e3, 6) for it in spent.shares}
