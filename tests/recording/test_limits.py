import pytest
from opentelemetry.trace import Link, SpanContext

from mmtrace.errors import ConfigurationError
from mmtrace.recording import SpanLimits


def test_without_arguments_and_variables_counts_are_128_and_lengths_free():
    limits = SpanLimits()
    assert (limits.max_events, limits.max_links, limits.max_span_attributes) == (128, 128, 128)
    assert (limits.max_event_attributes, limits.max_link_attributes) == (128, 128)
    assert (limits.max_attribute_length, limits.max_span_attribute_length) == (None, None)


@pytest.mark.parametrize(
    ("variable", "field"),
    [
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "max_events"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "max_links"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "max_span_attributes"),
        ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "max_event_attributes"),
        ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "max_link_attributes"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "max_attribute_length"),
        ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "max_span_attribute_length"),
    ],
)
def test_a_variable_sets_its_limit_and_an_argument_wins(monkeypatch, variable, field):
    monkeypatch.setenv(variable, " 7 ")
    assert getattr(SpanLimits(), field) == 7
    assert getattr(SpanLimits(**{field: 3}), field) == 3
    assert getattr(SpanLimits(**{field: SpanLimits.UNSET}), field) is None
    monkeypatch.setenv(variable, "")
    assert getattr(SpanLimits(), field) is None


def test_the_general_limit_holds_where_no_special_one_is_set(monkeypatch):
    monkeypatch.setenv("OTEL_ATTRIBUTE_COUNT_LIMIT", "9")
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "5")
    monkeypatch.setenv("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "2")
    limits = SpanLimits()
    assert (limits.max_span_attributes, limits.max_event_attributes, limits.max_link_attributes) == (9, 9, 2)
    assert limits.max_span_attribute_length == 5


@pytest.mark.parametrize("value", ["-3", "many", "1.5"])
def test_a_wrong_variable_is_named(monkeypatch, value):
    monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", value)
    with pytest.raises(ConfigurationError, match=f"OTEL_SPAN_EVENT_COUNT_LIMIT must be .* '{value}'"):
        SpanLimits()


def test_a_wrong_argument_is_an_error():
    with pytest.raises(ConfigurationError, match="non-negative integer"):
        SpanLimits(max_events=-5)


def test_what_is_over_the_limit_drops_the_oldest_and_is_counted(remembering):
    memory = remembering(
        span_limits=SpanLimits(max_span_attributes=2, max_events=2, max_links=1, max_event_attributes=1)
    )
    with memory.tracer.start_span("work", attributes={"a": 1, "b": 2, "c": 3}) as span:
        span.set_attribute("d", 4)
        span.set_attribute("d", 5)
        for name in "xyz":
            span.add_event(name, {"one": 1, "two": 2})
        for span_id in (1, 2, 3):
            span.add_link(SpanContext(1, span_id, is_remote=False))
    done = memory.span
    assert (done.attributes, done.dropped_attributes) == ({"c": 3, "d": 5}, 2)
    assert ([event.name for event in done.events], done.dropped_events) == (["y", "z"], 1)
    assert (done.events[0].attributes, done.events[0].dropped_attributes) == ({"two": 2}, 1)
    assert ([link.context.span_id for link in done.links], done.dropped_links) == ([3], 2)


def test_a_limit_of_nothing_keeps_nothing(remembering):
    limits = SpanLimits(max_span_attributes=0, max_events=0, max_links=0, max_link_attributes=0)
    memory = remembering(span_limits=limits)
    link = Link(SpanContext(1, 1, is_remote=False), {"a": 1})
    with memory.tracer.start_span("work", attributes={"a": 1}, links=[link]) as span:
        span.set_attribute("b", 1)
        span.add_event("x")
    done = memory.span
    assert (done.attributes, done.events, done.links) == ({}, (), ())
    assert (done.dropped_attributes, done.dropped_events, done.dropped_links) == (2, 1, 1)


def test_without_limits_everything_is_kept(remembering):
    unset = SpanLimits.UNSET
    memory = remembering(span_limits=SpanLimits(unset, unset, unset, unset, unset, unset, unset, unset))
    with memory.tracer.start_span("work", attributes={str(number): number for number in range(500)}) as span:
        for _ in range(500):
            span.add_event("x")
    assert (len(memory.span.attributes), len(memory.span.events)) == (500, 500)


def test_texts_are_cut_to_the_limit_also_inside_sequences_and_maps(remembering):
    memory = remembering(span_limits=SpanLimits(max_attribute_length=3))
    with memory.tracer.start_span("work", attributes={"a": "abcdef"}) as span:
        span.set_attribute("b", ["abcdef", {"c": "abcdef"}])
        span.set_attribute("bytes", b"abcdef")
        span.add_event("x", {"a": "abcdef"})
    assert memory.span.attributes == {"a": "abc", "b": ("abc", {"c": "abc"}), "bytes": b"abcdef"}
    assert memory.span.events[0].attributes == {"a": "abc"}
