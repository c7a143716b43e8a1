import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import propagate, trace
from opentelemetry.context import Context

from mmtrace.recording import guard
from mmtrace.recording.carriers import Envelope

pytestmark = pytest.mark.usefixtures("w3c")


@given(st.binary(), st.none() | st.integers(1, 2**63 - 1))
def test_what_goes_in_comes_out(payload, arrival):
    remote = trace.SpanContext(5, 6, is_remote=False, trace_flags=trace.TraceFlags(3))
    context = trace.set_span_in_context(trace.NonRecordingSpan(remote), Context())
    taken = Envelope.unwrap(Envelope.wrap(payload, context, arrival))
    assert (taken.payload, taken.arrival_ns) == (payload, arrival)
    found = trace.get_current_span(taken.context).get_span_context()
    assert (found.trace_id, found.span_id, found.trace_flags, found.is_remote) == (5, 6, 3, True)


def test_the_format_is_written_down_and_stays():
    wrapped = Envelope.wrap(b"payload", Context(), 7)
    assert wrapped == b"\xc1MMT" + b"\x01\x00" + struct.pack(">H", 17) + b"mmtrace-arrival:7" + b"payload"


@given(st.binary())
def test_what_is_no_envelope_is_a_plain_payload(data):
    if data[:4] != b"\xc1MMT":
        assert Envelope.unwrap(data) == (data, None, None)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_a_hostile_envelope_is_safe_and_loses_no_payload(header, payload):
    wrapped = b"\xc1MMT\x01\x00" + struct.pack(">H", len(header)) + header + payload
    assert Envelope.unwrap(wrapped).payload == payload


@pytest.mark.parametrize("cut", range(30))
def test_an_envelope_cut_short_is_a_plain_payload(cut):
    whole = Envelope.wrap(b"", Context(), 1_800_000_000_000_000_000)
    data = whole[:cut]
    assert Envelope.unwrap(data) == (data, None, None)


def test_a_later_version_gives_its_payload():
    wrapped = b"\xc1MMT\x02\xff" + struct.pack(">H", 3) + b"???" + b"payload"
    payload, context, arrival = Envelope.unwrap(wrapped)
    assert (payload, trace.get_current_span(context), arrival) == (b"payload", trace.INVALID_SPAN, None)


@pytest.mark.parametrize("data", [bytearray(b"x"), memoryview(b"x"), "text", None, 5, {"a": 1}])
def test_other_things_pass_through(data):
    assert Envelope.unwrap(data).payload is data


def test_buffers_are_taken_as_bytes():
    wrapped = Envelope.wrap(b"payload", Context())
    assert Envelope.unwrap(bytearray(wrapped)).payload == Envelope.unwrap(memoryview(wrapped)).payload == b"payload"


def test_a_context_too_large_for_the_envelope_is_left_out_and_the_payload_kept():
    class Huge(type(propagate.get_global_textmap())):
        def inject(self, carrier, context=None, setter=None):
            carrier["huge"] = "x" * 70_000

    propagate.set_global_textmap(Huge([]))
    taken = Envelope.unwrap(Envelope.wrap(b"payload", Context()))
    assert taken.payload == b"payload"
    assert guard.faults["envelope"] == 1
