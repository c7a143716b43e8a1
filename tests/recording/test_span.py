import gc
import math
import threading
import weakref

import pytest
from opentelemetry import trace
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from mmtrace.recording import SpanLimits, guard

REMOTE = SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("v", "1")]))


def test_is_a_span_of_the_api(memory):
    span = memory.tracer.start_span("work")
    assert isinstance(span, trace.Span)
    with trace.use_span(span):
        assert trace.get_current_span() is span
    span.end()


@pytest.mark.parametrize("kind", ["server", None, 2, StatusCode.OK])
def test_what_is_no_kind_is_counted_and_the_span_is_internal(memory, kind):
    memory.tracer.start_span("work", kind=kind).end()

    assert memory.span.kind is SpanKind.INTERNAL
    assert guard.faults["kind"] == 1


def test_a_finished_span_says_what_it_was_told(memory, resource):
    span = memory.tracer.start_span("work", kind=SpanKind.SERVER, attributes={"a": 1}, start_time=100)
    span.set_attribute("b", "text")
    span.set_attributes({"c": 2.5, "d": True})
    span.add_event("happened", {"x": [1, 2]}, timestamp=150)
    span.add_link(REMOTE, {"why": "because"})
    span.update_name("more work")
    span.set_status(StatusCode.ERROR, "went wrong")
    span.end(end_time=200)

    done = memory.span
    assert (done.name, done.kind, done.start_time, done.end_time) == ("more work", SpanKind.SERVER, 100, 200)
    assert done._start_time == 100
    assert done.attributes == {"a": 1, "b": "text", "c": 2.5, "d": True}
    (event,) = done.events
    assert (event.name, event.timestamp, event.attributes) == ("happened", 150, {"x": (1, 2)})
    (link,) = done.links
    assert (link.context, link.attributes) == (REMOTE, {"why": "because"})
    assert (done.status.status_code, done.status.description) == (StatusCode.ERROR, "went wrong")
    assert done.resource is resource
    assert (done.instrumentation_scope.name, done.instrumentation_scope.version) == ("test", "1.0")
    assert done.context is span.get_span_context()
    assert (done.dropped_attributes, done.dropped_events, done.dropped_links) == (0, 0, 0)


def test_sequences_become_tuples_and_are_not_shared(memory):
    numbers, nested = [1, 2], {"deep": [{"er": [b"x"]}]}
    with memory.tracer.start_span("work", attributes={"numbers": numbers}) as span:
        span.set_attribute("nested", nested)
        numbers.append(3)
        nested["deep"].append("more")
    assert memory.span.attributes == {"numbers": (1, 2), "nested": {"deep": ({"er": (b"x",)},)}}
    assert type(memory.span.attributes["numbers"]) is tuple


def test_events_and_links_are_tuples(memory):
    memory.tracer.start_span("work").end()
    assert memory.span.events == () == memory.span.links


def test_attributes_are_for_reading(memory):
    memory.tracer.start_span("work").end()
    with pytest.raises(TypeError):
        memory.span.attributes["a"] = 1


def test_what_comes_after_the_end_is_left_out_and_reported_once(memory):
    span = memory.tracer.start_span("work")
    span.end()
    end_time = span.end_time
    for _ in range(3):
        span.set_attribute("a", 1)
        span.set_attributes({"b": 1})
        span.add_event("late")
        span.add_link(REMOTE)
        span.update_name("late")
        span.set_status(StatusCode.ERROR)
        span.record_exception(ValueError())
        span.end()
    assert len(memory.spans) == 1
    assert (span.name, span.end_time, span.status.status_code) == ("work", end_time, StatusCode.UNSET)
    assert (span.attributes, span.events, span.links) == ({}, (), ())
    assert guard.faults["end after end"] == 3
    assert guard.faults["set_attribute after end"] == 6


def test_nothing_is_logged_where_a_finalizer_may_be(memory, caplog):
    span = memory.tracer.start_span("work")
    span.end()
    span.end()
    span.set_attribute("late", 1)
    assert not caplog.records
    guard.say()
    assert [record.message for record in caplog.records] == [
        "mmtrace: end() came after the span's end and was left out",
        "mmtrace: set_attribute() came after the span's end and was left out",
    ]


def test_ok_is_final_and_unset_is_ignored(memory):
    with memory.tracer.start_span("work") as span:
        span.set_status(StatusCode.ERROR, "first")
        span.set_status(StatusCode.UNSET)
        assert span.status.description == "first"
        span.set_status(Status(StatusCode.OK))
        span.set_status(Status(StatusCode.ERROR, "late"))
    assert (memory.span.status.status_code, memory.span.status.description) == (StatusCode.OK, None)


@pytest.mark.parametrize("description", [None, "", "why"])
def test_a_description_belongs_to_an_error(memory, description):
    with memory.tracer.start_span("work") as span:
        span.set_status(StatusCode.ERROR, description)
    assert memory.span.status.description == description or not description


def test_strange_arguments_never_reach_the_caller(memory):
    span = memory.tracer.start_span(3, attributes=["no", "mapping"], links=[None, 5], start_time="yesterday")
    span.set_attribute(None, 1)
    span.set_attribute([], 1)
    span.set_attribute("", 1)
    span.set_attributes("text")
    span.set_attributes(None)
    span.add_event(None, attributes=7, timestamp="soon")
    span.add_link(None)
    span.add_link("there")
    span.set_status("fine")
    span.set_status(StatusCode.ERROR, object())
    span.record_exception("no exception", attributes=9)
    span.update_name(None)
    span.end(end_time="later")
    assert memory.span.attributes == {}
    assert memory.span.dropped_attributes == 3
    assert isinstance(memory.span.end_time, int) and memory.span.end_time >= memory.span.start_time
    assert memory.span.to_json()


def test_a_context_that_is_none_makes_a_root(memory):
    span = memory.tracer.start_span("work", context=REMOTE)
    span.end()
    assert span.parent is None


def test_links_to_nowhere_count_only_with_attributes_or_tracestate(memory):
    nowhere = SpanContext(0, 0, is_remote=False)
    stateful = SpanContext(0, 0, is_remote=False, trace_state=TraceState([("a", "1")]))
    with memory.tracer.start_span("work", links=[Link(nowhere), Link(nowhere, {"a": 1})]) as span:
        span.add_link(nowhere)
        span.add_link(stateful)
    assert [link.context for link in memory.span.links] == [nowhere, stateful]


def test_the_callers_links_stay_as_they_were(memory):
    attributes = {"a": [1]}
    link = Link(REMOTE, attributes)
    memory.tracer.start_span("work", links=[link]).end()
    assert link.attributes is attributes
    assert memory.span.links[0] is not link


def test_the_end_is_the_start_plus_the_monotonic_difference(remembering):
    class SteppingClock:
        walls = iter([1_000_000, 5_000])
        monotonics = iter([10, 30, 70])

        def wall(self):
            return next(self.walls)

        def monotonic(self):
            return next(self.monotonics)

    memory = remembering(clock=SteppingClock())
    span = memory.tracer.start_span("work")
    span.add_event("in between")
    span.end()
    assert (span.start_time, span.events[0].timestamp, span.end_time) == (1_000_000, 1_000_020, 1_000_060)


def test_a_span_that_began_before_ends_now(memory):
    span = memory.tracer.start_span("work", start_time=1)
    span.end()
    assert memory.span.start_time == 1
    assert memory.span.end_time > 1_700_000_000_000_000_000


def test_non_finite_numbers_are_kept(memory):
    with memory.tracer.start_span("work") as span:
        span.set_attribute("inf", math.inf)
        span.set_attribute("nan", math.nan)
    assert memory.span.attributes["inf"] == math.inf
    assert math.isnan(memory.span.attributes["nan"])


def test_as_a_block_it_ends_and_records_what_went_wrong(memory):
    with pytest.raises(ValueError, match="broken"), memory.tracer.start_span("work"):
        raise ValueError("broken")
    (event,) = memory.span.events
    assert event.attributes["exception.escaped"] == "True"
    assert memory.span.status.description == "ValueError: broken"


def test_as_a_block_it_does_as_it_was_started(memory):
    with (
        pytest.raises(ValueError),
        memory.tracer.start_span("work", record_exception=False, set_status_on_exception=False),
    ):
        raise ValueError
    assert memory.span.events == ()
    assert memory.span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("leaving", [GeneratorExit, KeyboardInterrupt, SystemExit])
def test_what_is_no_error_only_ends_the_span(memory, leaving):
    with pytest.raises(leaving), memory.tracer.start_span("work"):
        raise leaving
    assert memory.span.events == ()
    assert memory.span.status.status_code is StatusCode.UNSET


def test_ends_once_however_many_threads_end_it(remembering):
    memory = remembering()
    for _ in range(50):
        span = memory.tracer.start_span("work")
        gate = threading.Barrier(4)

        def end(span=span, gate=gate):
            gate.wait()
            span.end()

        threads = [threading.Thread(target=end) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(memory.spans) == 50


def test_can_be_ended_by_a_finalizer_inside_any_of_its_own_methods(remembering):
    memory = remembering(span_limits=SpanLimits(max_span_attributes=4))

    class Abandoned:
        def __init__(self):
            self.span = memory.tracer.start_span("abandoned")
            self.itself = self

        def __del__(self):
            self.span.set_attribute("abandoned", [1])
            self.span.end()
            self.span.end()

    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(50):
            Abandoned()
            with memory.tracer.start_as_current_span("work", attributes={"a": [1]}) as span:
                span.set_attribute("b", {"c": [1, 2]})
                span.add_event("happened", {"d": (1,)})
                span.record_exception(ValueError("x"))
    finally:
        gc.set_threshold(*threshold)
        gc.collect()
    assert len(memory.spans) == 100


def test_can_be_referred_to_weakly(memory):
    span = memory.tracer.start_span("work")
    assert weakref.ref(span)() is span
    span.end()
