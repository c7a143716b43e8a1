import os
import subprocess
import sys
import types

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.context import Context
from starlette.datastructures import Headers, MutableHeaders

from mmtrace.recording import guard
from mmtrace.recording.carriers import arrival_of, extract, inject
from mmtrace.recording.propagation import propagator_from

pytestmark = pytest.mark.usefixtures("w3c")


@pytest.fixture
def here(memory):
    """A context with a span and baggage."""
    with memory.tracer.start_as_current_span("work"):
        yield baggage.set_baggage("user", "me")


def span_of(where: Context):
    return trace.get_current_span(where).get_span_context()


def assert_carried(here, there):
    assert (span_of(there).trace_id, span_of(there).span_id) == (span_of(here).trace_id, span_of(here).span_id)
    assert baggage.get_baggage("user", there) == "me"


@pytest.mark.parametrize(
    "carrier",
    [
        {},
        {"content-type": "text/plain"},
        [],
        [("key", "value")],
        [("key", b"value")],
        [(b"key", b"value")],
        (("key", "value"),),
        requests.structures.CaseInsensitiveDict(),
        MutableHeaders(),
        b"payload",
        bytearray(b"payload"),
    ],
    ids=repr,
)
def test_what_is_injected_is_extracted(here, carrier):
    carried = inject(carrier, here, arrival_ns=1_800_000_000_123_456_789)
    assert_carried(here, extract(carried))
    assert arrival_of(carried) == 1_800_000_000_123_456_789


def test_mappings_and_lists_are_changed_in_place_and_others_made_anew(here):
    for carrier in ({}, [], MutableHeaders()):
        assert inject(carrier, here) is carrier
    pairs = (("key", "value"),)
    assert inject(pairs, here)[0] == ("key", "value")
    assert pairs == (("key", "value"),)


def test_without_a_context_the_current_one_is_written(here):
    token = context.attach(here)
    try:
        assert_carried(here, extract(inject({})))
    finally:
        context.detach(token)


def test_pairs_have_the_kinds_of_the_first_or_those_asked_for(here):
    assert inject([("key", b"value")], here)[1][0] == "traceparent"
    assert type(inject([("key", b"value")], here)[1][1]) is bytes
    assert type(inject([(b"key", b"value")], here)[1][0]) is bytes
    assert {type(part) for pair in inject([], here) for part in pair} == {str}
    kinds = {(type(key), type(value)) for key, value in inject([], here, kinds=(str, bytes))}
    assert kinds == {(str, bytes)}


def test_what_a_carrier_held_of_another_context_is_replaced(here):
    old = {"Traceparent": "old", "TRACESTATE": "old=1", "other": "kept"}
    assert set(inject(old, here)) == {"other", "traceparent", "baggage"}
    pairs = [(b"TraceParent", b"old"), (b"other", b"kept"), (b"traceparent", b"old")]
    inject(pairs, here)
    assert sorted(key for key, _ in pairs) == [b"baggage", b"other", b"traceparent"]


def test_where_nothing_is_current_what_is_there_travels_on():
    carrier = {"traceparent": "theirs"}
    assert inject(carrier, Context()) == {"traceparent": "theirs"}


def test_the_time_of_arrival_is_written_only_where_it_is_given(here):
    assert "mmtrace-arrival" not in inject({}, here)
    assert inject({}, Context(), arrival_ns=5) == {"mmtrace-arrival": "5"}
    assert arrival_of({}) is None


@pytest.mark.parametrize("text", ["", "soon", "-5", "1.5", "1_0", " 5", "0", "9" * 19, "9" * 30, "\u0665", None])
def test_a_strange_time_of_arrival_is_none(text):
    assert arrival_of({"mmtrace-arrival": text}) is None
    assert arrival_of([("mmtrace-arrival", "5"), ("mmtrace-arrival", text)]) is None


def test_keys_have_any_case_and_values_may_be_lists_or_bytes(here):
    header = inject({}, here)["traceparent"]
    for carrier in (
        {"TraceParent": header},
        {b"TRACEPARENT": header.encode()},
        {"traceparent": [header]},
        Headers(raw=[(b"traceparent", header.encode())]),
        [("Traceparent", memoryview(header.encode()).tobytes())],
    ):
        assert span_of(extract(carrier)).trace_id == span_of(here).trace_id


def test_more_than_one_traceparent_begins_a_new_trace(here):
    header = inject({}, here)["traceparent"]
    for carrier in (
        [("traceparent", header), ("Traceparent", header)],
        {"traceparent": [header, header]},
        Headers(raw=[(b"traceparent", header.encode())] * 2),
    ):
        assert trace.get_current_span(extract(carrier)) is trace.INVALID_SPAN


@pytest.mark.parametrize(
    "carrier",
    [None, 5, "text", object(), [1, 2], [("a",)], [("a", 1, 2)], {1: 2}, {"traceparent": None}, [None], b"", {}, []],
    ids=repr,
)
def test_any_other_carrier_is_empty_and_nothing_is_raised(carrier):
    assert extract(carrier) == {}
    assert arrival_of(carrier) is None


@pytest.mark.parametrize("carrier", [None, 5, "text", object(), types.MappingProxyType({}), [1], [()]], ids=repr)
def test_a_carrier_that_does_not_take_the_context_stays_as_it_is_and_is_reported(here, carrier):
    assert inject(carrier, here) is carrier
    assert guard.faults["inject"] == 1


@given(
    st.dictionaries(st.text() | st.binary() | st.integers(), st.text() | st.binary() | st.none())
    | st.lists(st.tuples(st.sampled_from(["traceparent", "baggage", "tracestate"]), st.text() | st.binary()))
    | st.binary()
)
def test_hostile_carriers_are_safe(carrier):
    extract(carrier)
    arrival_of(carrier)


def test_where_the_apis_propagators_cannot_be_loaded_w3c_is_used():
    program = """if True:
        from mmtrace.recording import TracerProvider, guard
        from mmtrace.recording.carriers import extract, inject
        with TracerProvider(object()).get_tracer("t").start_as_current_span("work"):
            carrier = inject({})
        assert list(carrier) == ["traceparent"], carrier
        assert extract(carrier)
        assert guard.faults == {"OTEL_PROPAGATORS": 1}, guard.faults
    """
    environment = {**os.environ, "OTEL_PROPAGATORS": "nonsense"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


def test_other_formats_follow_the_global_propagator(here):
    propagate.set_global_textmap(propagator_from(["baggage"]))
    assert inject({}, here) == {"baggage": "user=me"}
