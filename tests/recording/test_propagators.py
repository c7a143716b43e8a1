import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter, TextMapPropagator

from mmtrace.errors import ConfigurationError
from mmtrace.recording import guard
from mmtrace.recording.propagation import (
    Propagators,
    W3CBaggagePropagator,
    W3CTraceContextPropagator,
    propagator_from,
)
from mmtrace.recording.tracestate import W3CTraceState

VALID = "00-12345678901234567890123456789012-1234567890123456-01"


def test_what_is_injected_is_extracted(memory):
    propagator, carrier = propagator_from(["tracecontext", "baggage"]), {}
    with memory.tracer.start_as_current_span("work") as span:
        propagator.inject(carrier, baggage.set_baggage("user", "me"))
    context = propagator.extract(carrier)
    remote, sent = trace.get_current_span(context).get_span_context(), span.get_span_context()
    assert remote.is_remote
    assert (remote.trace_id, remote.span_id, remote.trace_flags) == (sent.trace_id, sent.span_id, sent.trace_flags)
    assert baggage.get_baggage("user", context) == "me"


def test_the_tracestate_is_of_our_make_and_reaches_the_children(memory):
    context = W3CTraceContextPropagator().extract({"traceparent": VALID, "tracestate": "0x@y=1"})
    with memory.tracer.start_as_current_span("work", context) as span:
        state = span.get_span_context().trace_state
    assert type(state) is W3CTraceState
    assert state == {"0x@y": "1"}


def test_nothing_is_injected_without_a_span():
    carrier = {}
    propagator_from(["tracecontext", "baggage"]).inject(carrier, Context())
    assert carrier == {}


def test_flags_that_level_2_does_not_define_are_not_sent_on():
    propagator, carrier = W3CTraceContextPropagator(), {}
    flagged = trace.SpanContext(1, 2, is_remote=False, trace_flags=trace.TraceFlags(0xFF))
    propagator.inject(carrier, trace.set_span_in_context(trace.NonRecordingSpan(flagged), Context()))
    assert carrier["traceparent"].endswith("-03")


def test_a_malformed_traceparent_is_counted_at_a_quiet_level(caplog):
    W3CTraceContextPropagator().extract({"traceparent": "nonsense"})
    assert guard.faults["traceparent"] == 1
    guard.say()
    assert [record.levelname for record in caplog.records] in ([], ["DEBUG"])


def test_a_getter_may_give_text_or_bytes_for_a_list():
    class Giving(Getter):
        def __init__(self, value):
            self.value = value

        def get(self, carrier, key):
            return self.value if key == "traceparent" else None

        def keys(self, carrier):
            return []

    for value in (VALID, [VALID], VALID.encode(), [VALID.encode()], (VALID,), iter([VALID])):
        context = W3CTraceContextPropagator().extract({}, getter=Giving(value))
        assert trace.get_current_span(context).get_span_context().is_valid


def test_a_getter_that_fails_is_no_header():
    class Failing(Getter):
        def get(self, carrier, key):
            raise KeyError(key)

        def keys(self, carrier):
            return []

    context = propagator_from(["tracecontext", "baggage"]).extract({}, getter=Failing())
    assert trace.get_current_span(context) is trace.INVALID_SPAN
    assert guard.faults["getter"] == 2


class Broken(TextMapPropagator):
    @property
    def fields(self):
        return {"broken"}

    def extract(self, carrier, context=None, getter=None):
        raise RuntimeError("broken")

    def inject(self, carrier, context=None, setter=None):
        raise RuntimeError("broken")


def test_one_that_fails_does_not_keep_the_others_from_their_work(memory):
    propagator, carrier = Propagators([Broken(), W3CTraceContextPropagator()]), {}
    with memory.tracer.start_as_current_span("work"):
        propagator.inject(carrier)
    assert set(carrier) == {"traceparent"}
    assert trace.get_current_span(propagator.extract(carrier)).get_span_context().is_valid
    assert guard.faults["Broken.inject"] == guard.faults["Broken.extract"] == 1


def test_names_choose_the_propagators():
    assert propagator_from(["tracecontext", " Baggage ", "baggage"]).fields == {"traceparent", "tracestate", "baggage"}
    assert propagator_from(["baggage"]).fields == {"baggage"}
    assert propagator_from([]).fields == set() == propagator_from(["none", "baggage"]).fields


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigurationError, match="unknown propagator 'trace-context': did you mean 'tracecontext'"):
        propagator_from(["trace-context"])


def test_each_names_the_fields_that_it_writes():
    assert W3CTraceContextPropagator().fields == {"traceparent", "tracestate"}
    assert W3CBaggagePropagator().fields == {"baggage"}
