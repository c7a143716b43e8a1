"""Spans of any shape as hypothesis draws them, recorded by the stock SDK or by ours, and how stock encodes them."""

import dataclasses
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from mmtrace import attributes as names
from mmtrace import recording

PATIENT = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(codec="utf-8"), max_size=80)


def stock_says(value: Any) -> bool:
    """Whether this version of the stock encoder keeps `value`; earlier ones leave out None, and make it of bytes."""
    span = ReadableSpan("", SpanContext(1, 1, is_remote=False), attributes={"key": value})
    return bool(encode_spans([span]).resource_spans[0].scope_spans[0].spans[0].attributes)


PLAIN = st.one_of(TEXT, st.booleans(), INT64, st.floats())
SCALARS = PLAIN | st.binary(max_size=40) | st.none() if stock_says(None) else PLAIN
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT.filter(bool), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.one_of(
    st.sampled_from(["model", "task", "size", "tokens", "seconds", "cached"]),
    TEXT.filter(lambda key: key and key not in names.RENAMED),
)
ATTRIBUTES = st.dictionaries(KEYS, VALUES, max_size=8)
TIMES = st.integers(0, 2**64 - 1)
STATE_KEYS = st.from_regex(r"[a-z][a-z0-9]{0,9}", fullmatch=True)
STATE_VALUES = st.from_regex(r"[!-+\--<>-~]{1,20}", fullmatch=True)
STATES = st.lists(st.tuples(STATE_KEYS, STATE_VALUES), max_size=3).map(TraceState)
CONTEXTS = st.builds(
    SpanContext,
    trace_id=st.integers(1, 2**128 - 1),
    span_id=st.integers(1, 2**64 - 1),
    is_remote=st.booleans(),
    trace_flags=st.integers(0, 255).map(TraceFlags),
    trace_state=STATES,
)
STATUSES = st.one_of(
    st.none(), st.just(Status(StatusCode.OK)), TEXT.map(lambda message: Status(StatusCode.ERROR, message))
)
LIMITS = {
    "max_span_attributes": 5,
    "max_events": 2,
    "max_links": 2,
    "max_event_attributes": 2,
    "max_link_attributes": 2,
}


class Kept(SpanProcessor):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


SPANS = st.fixed_dictionaries(
    {
        "name": TEXT,
        "parent": st.none() | CONTEXTS,
        "kind": st.sampled_from(SpanKind),
        "attributes": ATTRIBUTES,
        "links": st.lists(st.builds(Link, CONTEXTS, ATTRIBUTES), max_size=3),
        "events": st.lists(st.tuples(TEXT, ATTRIBUTES, TIMES), max_size=3),
        "status": STATUSES,
        "start_time": TIMES,
        "end_time": TIMES,
    }
)
SCOPES = st.tuples(TEXT.filter(bool), TEXT, TEXT, ATTRIBUTES)


@dataclasses.dataclass
class Recorded:
    """Spans as a recorder made them of what was drawn."""

    provider: Any
    scope: tuple[Any, ...]
    drawn: list[dict[str, Any]]

    def spans(self) -> list[Any]:
        kept = Kept()
        self.provider.add_span_processor(kept)
        tracer = self.provider.get_tracer(*self.scope)
        for one in self.drawn:
            self._record(tracer, **one)
        return kept.spans

    def _record(self, tracer, name, parent, events, status, end_time, **options) -> None:
        span = tracer.start_span(name, parent and set_span_in_context(NonRecordingSpan(parent)), **options)
        for event in events:
            span.add_event(*event)
        if status:
            span.set_status(status)
        span.end(end_time)


def stock_provider(resource: Resource) -> TracerProvider:
    return TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False, span_limits=SpanLimits(**LIMITS))


def our_provider(resource: Resource) -> recording.TracerProvider:
    return recording.TracerProvider(resource, ALWAYS_ON, recording.SpanLimits(**LIMITS))


RESOURCES = st.builds(Resource, ATTRIBUTES, TEXT)
PROVIDERS = RESOURCES.map(stock_provider) | RESOURCES.map(our_provider)
RECORDED = st.builds(Recorded, PROVIDERS, SCOPES, st.lists(SPANS, min_size=1, max_size=3))


def stock_and_what_it_leaves_out(span: Any) -> ExportTraceServiceRequest:
    request = encode_spans([span])
    message = request.resource_spans[0].scope_spans[0].spans[0]
    message.flags |= span.context.trace_flags
    for link, encoded_link in zip(span.links, message.links, strict=True):
        encoded_link.flags |= link.context.trace_flags
        encoded_link.trace_state = ",".join(f"{key}={value}" for key, value in link.context.trace_state.items())
    return request
