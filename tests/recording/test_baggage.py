from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator as StockPropagator
from opentelemetry.context import Context

from mmtrace.recording import guard
from mmtrace.recording.propagation import W3CBaggagePropagator

PROPAGATOR = W3CBaggagePropagator()


def received(header):
    return dict(baggage.get_all(PROPAGATOR.extract({"baggage": header})))


def sent(entries):
    context, carrier = Context(), {}
    for key, value in entries.items():
        context = baggage.set_baggage(key, value, context)
    PROPAGATOR.inject(carrier, context)
    return carrier.get("baggage", "")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("a=1", {"a": "1"}),
        (" a = 1 ,\tb=2\t", {"a": "1", "b": "2"}),
        ("a=1,a=2", {"a": "2"}),
        ("a=", {"a": ""}),
        ("a=b=c", {"a": "b=c"}),
        ("user=J%C3%BCrgen%20M", {"user": "Jürgen M"}),
        ("a=one+two", {"a": "one two"}),
        ("a=%zz", {"a": "%zz"}),
        ("a=%ff", {"a": "\ufffd"}),
        ("a=1;ttl=5;secret, b=2", {"a": "1", "b": "2"}),
        (["a=1", "b=2"], {"a": "1", "b": "2"}),
        (["a=1", b"b=2"], {"a": "1", "b": "2"}),
        ("", {}),
    ],
)
def test_reads_what_the_standard_allows(header, expected):
    assert received(header) == expected
    assert not guard.faults


@pytest.mark.parametrize("member", ["b", "=1", "b c=1", 'b="1"', "b=1 2", "b=é", "b=1;", "b=1;x y", "b=\x00", "b\\=1"])
def test_a_malformed_member_is_left_out_and_counted(member):
    assert received(f"a=1,{member},c=3") == {"a": "1", "c": "3"}
    assert guard.faults["baggage"] == 1


def test_an_oversized_header_is_left_out_and_counted():
    assert received(f"a={'x' * 8191}") == {}
    assert received([f"a={'x' * 5000}", f"b={'x' * 5000}"]) == {}
    assert guard.faults["baggage"] == 2
    assert received(f"a={'x' * 8190}") == {"a": "x" * 8190}


def test_members_beyond_180_are_left_out():
    assert received(",".join(f"k{number}=1" for number in range(200))) == {f"k{number}": "1" for number in range(180)}


def test_is_added_to_the_baggage_that_is_there_already():
    context = baggage.set_baggage("b", "2", baggage.set_baggage("a", "0", Context()))
    assert dict(baggage.get_all(PROPAGATOR.extract({"baggage": "a=1"}, context))) == {"a": "1", "b": "2"}


def test_what_cannot_be_read_leaves_the_context_as_it_is():
    context = Context()
    assert PROPAGATOR.extract({}, context) is context
    assert PROPAGATOR.extract({"baggage": ";;;"}, context) is context
    assert PROPAGATOR.extract({}) == {}


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=20), max_size=8))
def test_what_is_sent_is_received(entries):
    header = sent(entries)
    assert header.isascii()
    assert received(header) == entries


ASCII = st.text(st.characters(max_codepoint=127), max_size=8)


@given(ASCII.filter(bool), ASCII)
def test_a_member_is_written_with_all_that_has_a_meaning_escaped_and_nothing_else(key, value):
    token, octets = "!#$&'*+^`|~", "!#$&'()*/:<=>?@[]^`{|}~"
    assert sent({key: value}) == f"{quote(key, safe=token)}={quote(value, safe=octets)}"


keys = st.text("abc XY_é%=;,", min_size=1, max_size=8).map(str.strip).filter(bool)


@given(st.dictionaries(keys, st.text(max_size=9)))
def test_a_stock_service_reads_it_alike(entries):
    read = StockPropagator().extract({"baggage": sent(entries)}, Context())
    assert dict(baggage.get_all(read)) == {key: value.strip() for key, value in entries.items()}


def test_properties_travel_on():
    context, carrier = PROPAGATOR.extract({"baggage": "a=1 ; ttl = 5;secret"}), {}
    PROPAGATOR.inject(carrier, context)
    assert carrier == {"baggage": "a=1;ttl = 5;secret"}
    assert baggage.get_baggage("a", context) == "1"


def test_what_is_sent_is_bounded():
    assert sent({}) == ""
    assert len(sent({f"k{number}": "1" for number in range(500)}).split(",")) == 180
    assert sent({"a": "1", "b": "x" * 9000, "c": "3"}) == "a=1,c=3"
    assert len(sent({f"k{number}": "x" * 100 for number in range(180)})) <= 8192
    assert guard.faults["baggage"]


@given(st.text(max_size=300) | st.binary(max_size=300))
def test_any_header_is_safe(header):
    received(header)
