import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import sampling as stock
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from mmtrace.errors import ConfigurationError
from mmtrace.recording import TracerProvider, guard
from mmtrace.recording.roots import ROOT_SAMPLED
from mmtrace.recording.sampling import sampler_from

STOCK = {
    "always_on": stock.ALWAYS_ON,
    "always_off": stock.ALWAYS_OFF,
    "traceidratio": stock.TraceIdRatioBased(0.3),
    "parentbased_always_on": stock.DEFAULT_ON,
    "parentbased_always_off": stock.DEFAULT_OFF,
    "parentbased_traceidratio": stock.ParentBasedTraceIdRatio(0.3),
}
PARENTS = {
    "none": None,
    "sampled": SpanContext(5, 6, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("a", "1")])),
    "not sampled": SpanContext(5, 6, is_remote=False, trace_flags=TraceFlags(0)),
}


def inside(parent):
    return trace.set_span_in_context(NonRecordingSpan(parent) if parent else trace.INVALID_SPAN, trace.Context())


@pytest.mark.parametrize("name", STOCK)
@pytest.mark.parametrize("parent", PARENTS)
@given(trace_id=st.integers(1, 2**128 - 1))
def test_decides_as_the_stock_sampler_of_that_name(name, parent, trace_id):
    sampler, context = sampler_from(name, "0.3"), inside(PARENTS[parent])
    ours = sampler.should_sample(context, trace_id, "work", attributes={"a": 1})
    theirs = STOCK[name].should_sample(context, trace_id, "work", attributes={"a": 1})
    assert ours.decision is theirs.decision
    assert dict(ours.attributes) == dict(theirs.attributes)
    assert (ours.trace_state or None) == (theirs.trace_state or None)


@pytest.mark.parametrize("name", STOCK)
@pytest.mark.parametrize("parent", PARENTS)
@given(trace_id=st.integers(1, 2**128 - 1))
def test_the_tracer_follows_ours_and_the_stock_one_alike(name, parent, trace_id):
    class Ids:
        def new_trace_id(self):
            return trace_id

        def new_span_id(self):
            return 9

    def context_of(sampler):
        span = TracerProvider(object(), sampler, ids=Ids()).get_tracer("t").start_span("s", inside(PARENTS[parent]))
        return span.is_recording(), span.get_span_context()

    assert context_of(sampler_from(name, "0.3")) == context_of(STOCK[name])


def test_without_a_sampler_the_variable_decides(monkeypatch, memory, resource):
    assert memory.tracer.start_span("work").is_recording()
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    assert not TracerProvider(resource).get_tracer("t").start_span("work").is_recording()


def test_spans_left_out_are_counted_and_carry_the_trace_on(remembering):
    memory = remembering(sampler=sampler_from("always_off"))
    with memory.tracer.start_as_current_span("work") as span:
        child = memory.tracer.start_span("child")
    assert memory.provider.sampled_out == 2
    assert memory.spans == ()
    assert span.get_span_context().is_valid and not span.get_span_context().trace_flags.sampled
    assert child.get_span_context().trace_id == span.get_span_context().trace_id
    assert child.get_span_context().span_id != span.get_span_context().span_id


def test_a_sampled_parent_decides_for_its_children(remembering):
    memory = remembering(sampler=sampler_from("parentbased_always_off"))
    span = memory.tracer.start_span("work", inside(PARENTS["sampled"]))
    span.end()
    assert memory.span.context.trace_flags.sampled
    assert memory.span.context.trace_state == {"a": "1"}


def test_a_root_says_that_its_id_is_random_and_a_child_what_its_parent_said(memory):
    assert memory.tracer.start_span("root").get_span_context().trace_flags == 3
    assert memory.tracer.start_span("child", inside(PARENTS["sampled"])).get_span_context().trace_flags == 1
    future = SpanContext(5, 6, is_remote=True, trace_flags=TraceFlags(0xFF))
    assert memory.tracer.start_span("child", inside(future)).get_span_context().trace_flags == 3


@pytest.mark.parametrize("name", ["parentbased_always_on", "parentbased_always_off", "traceidratio"])
@pytest.mark.parametrize("wanted", [True, False])
def test_a_context_may_decide_on_its_root_but_not_on_children(remembering, name, wanted):
    memory = remembering(sampler=sampler_from(name, "0.5"))
    context = Context({ROOT_SAMPLED: wanted})
    for _ in range(20):
        assert memory.tracer.start_span("root", context).is_recording() is wanted
    parent = trace.NonRecordingSpan(PARENTS["sampled"])
    child = memory.tracer.start_span("child", trace.set_span_in_context(parent, context))
    assert child.is_recording() or name == "traceidratio"


def test_another_sampler_adds_attributes_and_a_tracestate_and_may_record_only(remembering):
    class Adding(stock.Sampler):
        def should_sample(
            self, parent_context, trace_id, name, kind=None, attributes=None, links=None, trace_state=None
        ):
            state = TraceState([("by", "sampler")])
            return stock.SamplingResult(stock.Decision.RECORD_ONLY, {**attributes, "rule": 1}, state)

        def get_description(self):
            return "Adding"

    memory = remembering(sampler=Adding())
    span = memory.tracer.start_span("work", attributes={"a": 1})
    assert span.attributes == {"a": 1, "rule": 1}
    assert span.get_span_context().trace_state == {"by": "sampler"}
    assert span.is_recording() and not span.get_span_context().trace_flags.sampled


def test_a_sampler_that_fails_is_left_out_and_named(remembering):
    class Broken:
        def should_sample(self, *arguments):
            raise RuntimeError("broken")

    memory = remembering(sampler=Broken())
    memory.tracer.start_span("work").end()
    assert memory.span.name == "work"
    assert guard.faults["sampler"] == 1


@pytest.mark.parametrize(("name", "hint"), [("alwayson", "always_on"), ("traceid_ratio", "traceidratio")])
def test_an_unknown_name_is_answered_with_the_nearest(name, hint):
    with pytest.raises(ConfigurationError, match=f"unknown sampler '{name}': did you mean '{hint}'"):
        sampler_from(name)


def test_a_name_that_a_package_declares_too_is_named_once():
    with pytest.raises(ConfigurationError) as refused:
        sampler_from("alwayson")
    valid = str(refused.value).partition("Valid: ")[2].split(", ")
    assert sorted(set(valid)) == valid


@pytest.mark.parametrize("ratio", ["2", "-0.1", "half", "nan"])
def test_a_ratio_is_a_number_from_0_to_1(ratio):
    with pytest.raises(ConfigurationError, match=re.escape(f"a number from 0 to 1, not '{ratio}'")):
        sampler_from("traceidratio", ratio)


def test_a_ratio_that_is_not_given_is_all():
    assert sampler_from("parentbased_traceidratio", None).samples(2**128 - 1)


def test_describes_itself():
    assert sampler_from("traceidratio", "0.25").get_description() == "TraceIdRatioBased{0.25}"
    assert sampler_from("parentbased_always_on").get_description().startswith("ParentBased{root:")
