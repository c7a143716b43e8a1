"""The same story told to a stock span and to ours, read by the stock encoder."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits as StockLimits
from opentelemetry.sdk.trace import TracerProvider as StockProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from mmtrace.recording import SpanLimits, TracerProvider

pytestmark = pytest.mark.skipif(
    "a" not in BoundedAttributes(attributes={"a": {"b": 1}}), reason="this API does not know nested values yet"
)

RESOURCE = Resource({"service.name": "test"}, "https://schema")

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
keys = st.sampled_from(["a", "b", "c", "d", "e", ""]) | text
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
plain = text | st.booleans() | numbers | st.binary(max_size=8)
values = st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3))
attributes = st.none() | st.dictionaries(keys, values, max_size=5)
contexts = st.builds(
    SpanContext,
    st.integers(0, 2**128 - 1),
    st.integers(0, 2**64 - 1),
    st.booleans(),
    st.sampled_from([TraceFlags(0), TraceFlags(1)]),
    st.sampled_from([TraceState(), TraceState([("v", "1")])]),
)
statuses = st.sampled_from(list(StatusCode)) | st.builds(Status, st.just(StatusCode.ERROR), st.none() | text)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("set_attribute"), keys, values),
        st.tuples(st.just("set_attributes"), st.dictionaries(keys, values, max_size=3)),
        st.tuples(st.just("add_event"), text, attributes, st.integers(1, 2**60)),
        st.tuples(st.just("add_link"), contexts, attributes),
        st.tuples(st.just("update_name"), text),
        st.tuples(st.just("set_status"), statuses),
        st.tuples(st.just("record_exception"), st.builds(ValueError, text), attributes, st.integers(1, 2**60)),
        st.tuples(st.just("end"), st.integers(2**60, 2**61)),
    ),
    max_size=12,
)
limits = st.fixed_dictionaries(
    {
        "max_span_attributes": st.sampled_from([128, 0]),
        "max_events": st.sampled_from([128, 1]),
        "max_links": st.sampled_from([128, 1]),
        "max_event_attributes": st.sampled_from([128, 1]),
        "max_link_attributes": st.sampled_from([128, 1]),
        "max_attribute_length": st.sampled_from([-1, 2]),
    }
)


def told(provider, start, story):
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    name, kind, given_attributes, links = start
    links = [Link(context, own) for context, own in links]
    span = provider.get_tracer("library", "1", "https://schema", {"of": "scope"}).start_span(
        name, kind=kind, attributes=given_attributes, links=links, start_time=5
    )
    for method, *arguments in story:
        if method == "record_exception":
            span.record_exception(*arguments)
        else:
            getattr(span, method)(*arguments)
    span.end(2**62)
    return normalized(encode_spans(exporter.get_finished_spans()))


def normalized(request):
    for scope_spans in request.resource_spans[0].scope_spans:
        for span in scope_spans.spans:
            span.trace_id = span.span_id = b""
            by_key = sorted(span.attributes, key=lambda attribute: attribute.key)
            del span.attributes[:]
            span.attributes.extend(by_key)
    return request


@settings(deadline=None)
@given(st.tuples(text, st.sampled_from(SpanKind), attributes, st.lists(st.tuples(contexts, attributes))), steps, limits)
def test_a_span_says_on_the_wire_what_a_stock_span_says(start, story, limit):
    ours = TracerProvider(RESOURCE, span_limits=SpanLimits(**limit))
    stock = StockProvider(resource=RESOURCE, span_limits=StockLimits(**limit), shutdown_on_exit=False)
    assert told(ours, start, story) == told(stock, start, story)
