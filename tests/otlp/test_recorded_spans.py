"""What our encoder writes is what the stock one writes, and what that one leaves out."""

import base64
import dataclasses
import json
import math
from collections.abc import Iterable
from typing import Any

from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from mmtrace import recording
from mmtrace.otlp.decode import decode_span, decode_traces, decode_traces_json, parse, to_json
from mmtrace.otlp.encode import encode_span, frame_of
from mmtrace.recording.cleaning import SharedAttributes
from mmtrace.testing.clock import CountingIds, SteadyClock
from recorded import KEYS, PATIENT, RECORDED, TEXT, VALUES, stock_and_what_it_leaves_out


def same_bytes(first: ExportTraceServiceRequest, second: ExportTraceServiceRequest) -> bool:
    return first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)


def wire(spans: Iterable[Any]) -> bytes:
    return b"".join(frame_of(span).wrap([encode_span(span)]) for span in spans)


def comparable(value: Any) -> Any:
    """Return `value` such that NaN equals itself, and 1, 1.0 and True do not equal each other."""
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [comparable(item) for item in value]
    return type(value), repr(value)


@PATIENT
@given(RECORDED)
def test_what_either_sdk_recorded_is_encoded_as_the_stock_encoder_does(recorded) -> None:
    spans = recorded.spans()
    for span in spans:
        assert same_bytes(ExportTraceServiceRequest.FromString(wire([span])), stock_and_what_it_leaves_out(span))


@PATIENT
@given(
    st.dictionaries(KEYS, TEXT, max_size=5),
    st.lists(st.tuples(KEYS, VALUES), max_size=6),
    st.integers(0, 6) | st.none(),
)
def test_attributes_that_spans_share_are_encoded_as_those_of_one_span(shared, own, limit) -> None:
    shared_by_all = SharedAttributes(shared)
    plain, sharing, again = (_encoded_with(start, own, limit) for start in (shared, shared_by_all, shared_by_all))
    assert plain == sharing == again


@PATIENT
@given(st.dictionaries(KEYS, TEXT, max_size=5), st.lists(st.tuples(KEYS, VALUES), max_size=6), KEYS, TEXT)
def test_an_attribute_that_spans_come_to_share_is_encoded_as_one_that_was_set(shared, own, name, text) -> None:
    shared_by_all = SharedAttributes(shared)
    longer = shared_by_all.with_last(name, text)
    encoded = _encoded_with(shared, [*own, (name, text)], None)
    for _ in range(2):
        assert attributes_in(_encoded_with(shared_by_all, own, None, longer)) == attributes_in(encoded)


def attributes_in(encoded: bytes) -> list[tuple[str, bytes]]:
    (span,) = ScopeSpans.FromString(encoded).spans
    return sorted((pair.key, pair.value.SerializeToString()) for pair in span.attributes)


def _encoded_with(
    attributes: dict[str, Any],
    more: list[tuple[str, Any]],
    limit: int | None,
    longer: SharedAttributes | None = None,
) -> bytes:
    limits = recording.SpanLimits(max_span_attributes=recording.SpanLimits.UNSET if limit is None else limit)
    provider = recording.TracerProvider(Resource({}), ALWAYS_ON, limits, clock=SteadyClock(), ids=CountingIds())
    span = provider.get_tracer("test").start_span("work", attributes=attributes)
    for key, value in more:
        span.set_attribute(key, value)
    if longer is not None and not span.share(longer):
        span.set_attribute(longer.last, longer[longer.last])
    span.end()
    return encode_span(span)


@PATIENT
@given(RECORDED)
def test_a_decoded_span_has_everything_that_was_recorded(recorded) -> None:
    spans = recorded.spans()
    for span, data in zip(spans, decode_traces(wire(spans)), strict=True):
        assert (data.name, data.kind, data.start_time, data.end_time) == (
            span.name, span.kind, span.start_time, span.end_time,
        )  # fmt: skip
        assert (data.trace_id, data.span_id) == (span.context.trace_id, span.context.span_id)
        assert data.parent_span_id == (span.parent.span_id if span.parent else None)
        assert (data.status, data.status_message) == (span.status.status_code, span.status.description or "")
        assert data.trace_state == span.context.trace_state.to_header()
        assert comparable(data.attributes) == comparable(dict(span.attributes))
        assert comparable(data.resource.attributes) == comparable(dict(span.resource.attributes))
        assert [(event.name, event.time, comparable(event.attributes)) for event in data.events] == [
            (event.name, event.timestamp, comparable(dict(event.attributes))) for event in span.events
        ]
        assert [(link.trace_id, link.span_id, comparable(link.attributes)) for link in data.links] == [
            (link.context.trace_id, link.context.span_id, comparable(dict(link.attributes))) for link in span.links
        ]
        assert (data.dropped_attributes, data.dropped_events, data.dropped_links) == (
            span.dropped_attributes, span.dropped_events, span.dropped_links,
        )  # fmt: skip


def everything(data: Any) -> Any:
    return comparable(dataclasses.asdict(data))


@PATIENT
@given(RECORDED)
def test_json_carries_a_span_as_the_wire_does(recorded) -> None:
    spans = recorded.spans()
    decoded = decode_traces(wire(spans))
    again = decode_traces_json(json.dumps(to_json(decoded)))
    assert [everything(span) for span in again] == [everything(span) for span in decoded]


@PATIENT
@given(RECORDED)
def test_json_is_what_protobuf_writes_but_for_the_ids(recorded) -> None:
    spans = recorded.spans()
    for span in spans:
        body = wire([span])
        expected = MessageToDict(parse(body), use_integers_for_enums=True)
        (message,) = expected["resourceSpans"][0]["scopeSpans"][0]["spans"]
        for holder in (message, *message.get("links", ())):
            for key in {"traceId", "spanId", "parentSpanId"} & holder.keys():
                holder[key] = base64.b64decode(holder[key]).hex()
        assert to_json(decode_traces(body)) == expected


@PATIENT
@given(RECORDED)
def test_a_span_that_was_stored_alone_is_decoded_as_in_its_request(recorded) -> None:
    spans = recorded.spans()
    body = wire(spans)
    messages = [
        message
        for resource_spans in parse(body).resource_spans
        for scope_spans in resource_spans.scope_spans
        for message in scope_spans.spans
    ]
    for message, data in zip(messages, decode_traces(body), strict=True):
        alone = decode_span(message.SerializeToString(), data.resource, data.scope)
        assert everything(alone) == everything(data)
