"""Spans of one resource and scope share a frame."""

from types import SimpleNamespace

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from mmtrace.otlp import frames
from mmtrace.otlp.encode import encode_span, frame_of


def named(name):
    return InstrumentationScope(name, "1", "https://example.org/scope", {"size": 1})


@pytest.fixture
def resource():
    return Resource({"service.name": "reader", "nested": {"a": [1, None]}}, "https://example.org/resource")


def test_spans_of_one_resource_and_scope_share_a_frame(span_with, resource):
    scope = named("a")
    first, second = (span_with(resource=resource, instrumentation_scope=scope) for _ in range(2))
    assert frame_of(first) is frame_of(second)
    assert len({frame_of(first): 1, frame_of(second): 2}) == 1


def test_equal_resources_and_scopes_share_a_frame_even_if_made_twice(span_with):
    first, second = (
        span_with(resource=Resource({"service.name": "same"}), instrumentation_scope=named("same")) for _ in range(2)
    )
    assert frame_of(first) is frame_of(second)


def test_other_resources_scopes_and_types_of_values_get_frames_of_their_own(span_with, resource):
    scope = named("b")
    spans = [
        span_with(resource=resource, instrumentation_scope=scope),
        span_with(resource=resource, instrumentation_scope=named("c")),
        span_with(resource=Resource({"flag": True}), instrumentation_scope=scope),
        span_with(resource=Resource({"flag": 1}), instrumentation_scope=scope),
        span_with(resource=resource),
    ]
    assert len({frame_of(span) for span in spans}) == len(spans)


def test_a_resource_with_attributes_that_cannot_be_hashed_has_a_frame(span_with):
    resource = SimpleNamespace(attributes={"list": [1, {"a": 2}]}, schema_url="")
    scope = SimpleNamespace(name="s", version=None, attributes={"set": [1]}, schema_url=None)
    span = SimpleNamespace(resource=resource, instrumentation_scope=scope)
    assert frame_of(span) is frame_of(span)


def test_a_frame_wraps_its_spans_as_the_stock_encoder_does(span_with, encoded, resource):
    spans = [span_with({"n": number}, resource=resource, instrumentation_scope=named("w")) for number in range(300)]
    expected = encode_spans(spans)
    for span in expected.resource_spans[0].scope_spans[0].spans:
        span.flags |= 1
    body = frame_of(spans[0]).wrap([encode_span(span) for span in spans])
    assert type(expected).FromString(body) == expected


def test_a_span_without_a_scope_has_an_empty_one(span_with, encoded):
    span = span_with(resource=Resource({}))
    request = encode_spans([span])
    request.resource_spans[0].scope_spans[0].spans[0].flags |= 1
    assert encoded(span) == request


def test_the_requests_of_several_frames_are_one_request_when_joined(span_with, encoded, resource):
    spans = [span_with(resource=resource, instrumentation_scope=named(name)) for name in "xyz"]
    assert [one.scope_spans[0].scope.name for one in encoded(*spans).resource_spans] == ["x", "y", "z"]


def test_frames_that_are_kept_are_bounded(span_with, resource):
    for number in range(1_000):
        assert frame_of(span_with(resource=resource, instrumentation_scope=named(f"scope {number}")))
    assert len(frames._by_scope) <= frames._FRAMES_KEPT
    assert len(frames._by_content) <= frames._FRAMES_KEPT
