"""What is promised of encoding beyond being equal to the stock encoder."""

import enum
import gc
import math
import struct
import sys
import threading
from collections import UserDict, UserList

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from mmtrace.otlp import encode, values
from mmtrace.otlp.encode import encode_span
from mmtrace.otlp.wire import VARINTS, text


class Colour(str, enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Ratio(float):
    pass


class Opaque:
    pass


class Hostile:
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


class Broken(UserList):
    def __iter__(self):
        raise RuntimeError("no items")


def span_of(request):
    return request.resource_spans[0].scope_spans[0].spans[0]


def test_true_one_and_one_point_zero_keep_their_types_in_any_order(values_of):
    for ordered in ([True, 1, 1.0], [1.0, 1, True], [1, True, 1.0]):
        kinds = [values_of({"same key": value})["same key"].WhichOneof("value") for value in ordered]
        assert kinds == [{bool: "bool_value", int: "int_value", float: "double_value"}[type(one)] for one in ordered]


def test_zero_false_and_both_zeros_of_floats_are_told_apart(values_of):
    assert values_of({"zero": False})["zero"] == AnyValue(bool_value=False)
    assert values_of({"zero": 0})["zero"] == AnyValue(int_value=0)
    assert math.copysign(1, values_of({"zero": 0.0})["zero"].double_value) == 1
    assert math.copysign(1, values_of({"zero": -0.0})["zero"].double_value) == -1


@pytest.mark.parametrize("value", [math.inf, -math.inf, sys.float_info.min, 5e-324])
def test_a_float_at_the_edge_arrives_exactly(values_of, value):
    assert values_of({"edge": value})["edge"].double_value == value


def test_not_a_number_keeps_its_bits(values_of):
    value = struct.unpack("<d", struct.pack("<Q", 0x7FF8_0000_0000_1234))[0]
    assert struct.pack("<d", values_of({"nan": value})["nan"].double_value) == struct.pack("<d", value)


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 0, -1, 127, 128, 16383, 16384])
def test_an_integer_of_64_bits_arrives_exactly(values_of, value):
    for _ in range(2):
        assert values_of({"whole": value})["whole"] == AnyValue(int_value=value)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**40])
def test_an_integer_beyond_64_bits_becomes_decimal_text(values_of, value):
    assert values_of({"large": value, "in": [value]}) == {
        "large": AnyValue(string_value=str(value)),
        "in": AnyValue(array_value={"values": [AnyValue(string_value=str(value))]}),
    }


def test_an_integer_too_long_for_decimal_text_becomes_hexadecimal(values_of):
    assert values_of({"huge": 1 << 100_000})["huge"].string_value == hex(1 << 100_000)


def test_surrogates_become_valid_unicode_wherever_text_is(encoded, span_with):
    context = SpanContext(1, 1, is_remote=True)
    span = span_with(
        {
            "lone \ud800": "a \udfff b",
            "pair": "\ud83d\ude00",
            "in": ["\ud800"],
            "map": {"\ud800": 1},
            "long": "\ud800" * 99,
        },
        name="read \udc80",
        links=[Link(context, {"k": "\ud800"})],
        status=Status(StatusCode.ERROR, "bad \ud800"),
    )
    message = span_of(encoded(span))
    assert message.name == "read \ufffd"
    assert message.status.message == "bad \ufffd"
    found = {pair.key: pair.value for pair in message.attributes}
    assert found["lone \ufffd"].string_value == "a \ufffd b"
    assert found["pair"].string_value == "\U0001f600"
    assert found["in"].array_value.values[0].string_value == "\ufffd"
    assert found["map"].kvlist_value.values[0].key == "\ufffd"
    assert found["long"].string_value == "\ufffd" * 99


@given(st.text(st.characters(), max_size=20))
def test_any_text_is_valid_unicode_on_the_wire_and_valid_text_is_unchanged(value):
    repaired = text(value).decode()
    assert repaired == value or any("\ud800" <= character <= "\udfff" for character in value)


def test_values_of_derived_types_are_encoded_as_what_they_derive_from(values_of):
    assert values_of({"colour": Colour.RED, "level": Level.HIGH, "ratio": Ratio(0.5)}) == {
        "colour": AnyValue(string_value="red"),
        "level": AnyValue(int_value=3),
        "ratio": AnyValue(double_value=0.5),
    }


def test_other_sequences_and_mappings_are_arrays_and_maps(values_of):
    found = values_of({"list": UserList([1, None]), "map": UserDict({5: "five"}), "range": range(2)})
    assert [value.int_value for value in found["list"].array_value.values] == [1, 0]
    assert found["map"].kvlist_value.values[0].key == "5"
    assert [value.int_value for value in found["range"].array_value.values] == [0, 1]


@pytest.mark.parametrize("value", [Opaque(), {1, 2}, 1j, Hostile(), Broken([1]), [Opaque()], {"a": Hostile()}])
def test_a_value_that_otlp_cannot_say_leaves_out_itself_only(values_of, value):
    assert list(values_of({"before": 1, "bad": value, "after": 2})) == ["before", "after"]


@pytest.mark.parametrize("key", [1, None, True, b"bytes", (1, 2)])
def test_a_key_that_is_no_text_leaves_out_itself_only(values_of, key):
    assert list(values_of({"before": 1, key: 1, "after": 2})) == ["before", "after"]


def test_values_nest_as_deep_as_parsers_follow_and_are_null_below(values_of):
    deep = "bottom"
    for _ in range(200):
        deep = {"down": deep}
    value, levels = values_of({"deep": deep})["deep"], 0
    while value.WhichOneof("value") == "kvlist_value":
        value, levels = value.kvlist_value.values[0].value, levels + 1
    assert levels == values.MAX_DEPTH
    assert value.WhichOneof("value") is None


def test_the_deepest_value_of_an_event_and_a_link_passes_the_parser(encoded, span_with):
    deep = "bottom"
    for _ in range(values.MAX_DEPTH):
        deep = {"down": deep}
    link = Link(SpanContext(1, 1, is_remote=True), {"deep": deep})
    assert encoded(span_with({"deep": deep}, links=[link]))


def test_a_value_that_contains_itself_comes_to_an_end(values_of):
    loop = []
    loop.extend([loop, loop, loop])
    mapping = {"me": None, "list": loop}
    mapping["me"] = mapping
    assert set(values_of({"loop": loop, "mapping": mapping})) == {"loop", "mapping"}


def test_text_that_was_never_seen_and_text_that_was_give_the_same(values_of):
    known = [f"value {number}" for number in range(400)] + ["", "x" * 64, "x" * 65, "é" * 64, "x" * 70_000]
    for _ in range(2):
        for value in known:
            assert values_of({"many": value, "more": len(value)}) == {
                "many": AnyValue(string_value=value),
                "more": AnyValue(int_value=len(value)),
            }


def test_what_is_kept_for_speed_is_bounded(values_of, encoded, span_with):
    for number in range(3_000):
        values_of({f"key {number}": number, "fixed": f"text {number}", "count": number, "long": "x" * (65 + number)})
        encoded(span_with(name=f"name {number}"))
    keys = encode._SPAN_KEYS
    assert len(keys) <= values._KEYS_KEPT
    assert all(len(key.texts) <= values._VALUES_KEPT for key in keys.values())
    assert all(len(key.ints) <= values._VALUES_KEPT for key in keys.values())
    assert all(len(key.text_heads) <= values._LENGTHS_KEPT for key in keys.values())
    assert len(encode._names) <= encode._NAMES_KEPT


@pytest.mark.parametrize("kind", SpanKind)
@pytest.mark.parametrize("status", [Status(), Status(StatusCode.OK), Status(StatusCode.ERROR, "late"), None])
def test_every_kind_and_status_is_encoded_as_stock_does(encoded, span_with, kind, status):
    span = span_with(kind=kind, status=status)
    expected = encode_spans([span])
    span_of(expected).flags |= 1
    assert encoded(span) == expected


@pytest.mark.parametrize("remote", [True, False])
def test_flags_hold_the_trace_flags_and_where_the_parent_came_from(encoded, span_with, remote):
    parent = SpanContext(1, 2, is_remote=remote)
    own = SpanContext(1, 3, is_remote=False, trace_flags=TraceFlags(0x03), trace_state=TraceState([("a", "b")]))
    message = span_of(encoded(span_with(context=own, parent=parent)))
    assert message.flags == 0x103 | (0x200 if remote else 0)
    assert message.trace_state == "a=b"
    assert message.parent_span_id == bytes(7) + b"\x02"


def test_a_link_keeps_its_trace_state_and_its_flags(encoded, span_with):
    linked = SpanContext(
        5, 6, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("k", "v"), ("l", "w")])
    )
    (link,) = span_of(encoded(span_with(links=[Link(linked, {"n": 1})]))).links
    assert (link.trace_state, link.flags) == ("k=v,l=w", 0x301)


def test_a_span_of_another_make_needs_only_the_surface_of_a_readable_span(encoded, span_with):
    class Context:
        trace_id, span_id, is_remote, trace_flags, trace_state = 7, 8, True, 1, {"a": "b"}

    span = span_with(context=Context(), parent=Context())
    message = span_of(encoded(span))
    assert int.from_bytes(message.trace_id, "big") == 7
    assert (message.trace_state, message.flags) == ("a=b", 0x301)


@pytest.mark.parametrize(("given_time", "expected"), [(None, 0), (-5, 0), (1.5, 1), (2**70, 2**64 - 1)])
def test_a_time_that_the_wire_cannot_hold_becomes_the_nearest_that_it_can(encoded, span_with, given_time, expected):
    message = span_of(encoded(span_with(start_time=given_time, end_time=3)))
    assert (message.start_time_unix_nano, message.end_time_unix_nano) == (expected, 3)


@settings(deadline=None)
@given(st.integers(-(2**63), 2**64 - 1))
def test_a_varint_reads_back_as_its_number(number):
    data, value = VARINTS[number], 0
    for place, septet in enumerate(data):
        assert (septet > 127) == (place < len(data) - 1)
        value |= (septet & 127) << 7 * place
    assert value == number % 2**64


def test_a_finalizer_that_ends_a_span_inside_the_encoder_disturbs_nothing(span_with):
    span = span_with({"text": "fresh text", "number": 12_345, "list": [1, 2]})
    expected, made = encode_span(span), []

    class Abandoned:
        def __del__(self):
            made.append(encode_span(span))

    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(200):
            loop = [Abandoned()]
            loop.append(loop)
            del loop
            assert encode_span(span) == expected
    finally:
        gc.set_threshold(*before)
    gc.collect()
    assert len(made) == 200 and set(made) == {expected}


def test_threads_that_fill_the_same_tables_get_the_same_bytes(span_with):
    spans = [
        span_with({f"key {number % 700}": f"text {number}", "n": number}, name=f"s{number}") for number in range(2_000)
    ]
    expected = [encode_span(span) for span in spans]
    results = []
    threads = [threading.Thread(target=lambda: results.append([encode_span(span) for span in spans])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4
