"""OTLP-JSON of any producer is read; what we write is the specification's form of it."""

import json

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from mmtrace.errors import DecodeError, TooLarge
from mmtrace.otlp.decode import decode_traces_json, parse_json, to_json
from mmtrace.spans import Resource, Scope, SpanData

TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"


def body_of(span, **resource_spans):
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}], **resource_spans}]})


def decoded(span, **resource_spans):
    (data,) = decode_traces_json(body_of({"traceId": TRACE, "spanId": SPAN, **span}, **resource_spans))
    return data


def value(any_value):
    return decoded({"attributes": [{"key": "k", "value": any_value}]}).attributes["k"]


def data(**fields):
    return SpanData(**{"trace_id": 1, "span_id": 2, "name": "a", "start_time": 3, "end_time": 4, **fields})


def test_ids_are_hexadecimal_in_either_case():
    span = decoded({"traceId": TRACE.upper(), "parentSpanId": "00000000000000ff"})
    assert (f"{span.trace_id:032x}", f"{span.span_id:016x}", span.parent_span_id) == (TRACE, SPAN, 255)


@pytest.mark.parametrize("time", ["1544712660000000000", 1544712660000000000])
def test_64_bit_integers_come_as_text_or_as_numbers(time):
    assert decoded({"startTimeUnixNano": time}).start_time == 1544712660000000000
    assert value({"intValue": str(time)}) == value({"intValue": time}) == 1544712660000000000


@pytest.mark.parametrize("kind", [2, "SPAN_KIND_SERVER"])
def test_kinds_and_states_come_as_numbers_or_as_names(kind):
    assert decoded({"kind": kind}).kind is SpanKind.SERVER
    for code in (2, "STATUS_CODE_ERROR"):
        assert decoded({"status": {"code": code}}).status is StatusCode.ERROR


def test_snake_case_is_accepted():
    body = {
        "resource_spans": [{"scope_spans": [{"spans": [{"trace_id": TRACE, "span_id": SPAN, "parent_span_id": SPAN}]}]}]
    }
    (span,) = decode_traces_json(json.dumps(body))
    assert f"{span.parent_span_id:016x}" == SPAN


def test_unknown_fields_are_ignored_and_nulls_are_missing_values():
    span = decoded({"name": "kept", "later": {"a": [1]}, "links": None, "parentSpanId": None})
    assert (span.name, span.links, span.parent_span_id) == ("kept", (), None)


def test_links_have_hexadecimal_ids_too():
    (link,) = decoded({"links": [{"traceId": TRACE, "spanId": SPAN, "traceState": "a=b", "flags": 257}]}).links
    assert (f"{link.trace_id:032x}", f"{link.span_id:016x}", link.trace_state, link.flags) == (TRACE, SPAN, "a=b", 257)


def test_values_of_every_kind_are_read():
    assert value({"stringValue": "é"}) == "é"
    assert value({"boolValue": False}) is False
    assert value({"doubleValue": "-Infinity"}) == float("-inf")
    assert value({"bytesValue": "AAE="}) == b"\x00\x01"
    assert value({"arrayValue": {"values": [{"intValue": 1}, {}]}}) == (1, None)
    assert value({"kvlistValue": {"values": [{"key": "a", "value": {"doubleValue": 1}}]}}) == {"a": 1.0}
    assert value({}) is None


def test_half_a_surrogate_pair_is_replaced():
    assert decode_traces_json(body_of({"traceId": TRACE, "spanId": SPAN, "name": "a \ud800 \U0001f600"}))[0].name == (
        "a \ufffd \U0001f600"
    )


def test_old_names_become_new_ones_here_too():
    span = decoded({"attributes": [{"key": "http.method", "value": {"stringValue": "GET"}}]})
    assert span.attributes == {"http.request.method": "GET"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"resourceSpans": 1}',
        b'{"resourceSpans": [1]}',
        body_of({"traceId": "no hex", "spanId": SPAN}),
        body_of({"traceId": TRACE[:-1], "spanId": SPAN}),
        body_of({"traceId": TRACE[:-2], "spanId": SPAN}),
        body_of({"traceId": 5, "spanId": SPAN}),
        body_of({"traceId": TRACE, "spanId": SPAN, "startTimeUnixNano": "soon"}),
        body_of({"traceId": TRACE, "spanId": SPAN, "startTimeUnixNano": 2**64}),
        body_of({"traceId": TRACE, "spanId": SPAN, "attributes": [{"key": "k", "value": {"bytesValue": "A"}}]}),
        "1" * 5_000,
    ],
)
def test_damaged_json_is_an_error(body):
    with pytest.raises(DecodeError):
        decode_traces_json(body)


@pytest.mark.parametrize("depth", [60, 5_000, 200_000])
def test_values_that_are_nested_too_deep_are_too_large(depth):
    deep = '{"arrayValue":{"values":[' * depth + "]}}" * depth
    with pytest.raises(TooLarge):
        parse_json('{"resourceSpans":[{"resource":{"attributes":[{"key":"k","value":' + deep + "}]}}]}")


def test_a_body_over_the_limit_is_too_large():
    with pytest.raises(TooLarge, match="2 bytes"):
        parse_json(b"{}", max_bytes=1)


def test_spans_of_one_resource_and_scope_are_gathered_in_their_order():
    one, other = Resource({"service.name": "one"}), Resource({"service.name": "other"})
    spans = [
        data(span_id=1, resource=one, scope=Scope("a")),
        data(span_id=2, resource=other, scope=Scope("a")),
        data(span_id=3, resource=Resource({"service.name": "one"}), scope=Scope("a")),
        data(span_id=4, resource=one, scope=Scope("b")),
    ]
    found = [
        [[int(span["spanId"], 16) for span in scope["spans"]] for scope in resource["scopeSpans"]]
        for resource in to_json(spans)["resourceSpans"]
    ]
    assert found == [[[1, 3], [4]], [[2]]]


def test_resources_that_differ_in_the_type_of_a_value_stay_apart():
    spans = [data(resource=Resource({"flag": flag})) for flag in (True, 1, 1.0)]
    assert [span.resource.attributes["flag"] for span in decode_traces_json(json.dumps(to_json(spans)))] == [
        True,
        1,
        1.0,
    ]
    assert len(to_json(spans)["resourceSpans"]) == 3


def test_numbers_that_are_not_finite_are_named_so_that_the_json_is_strict():
    span = data(attributes={"n": float("nan"), "i": float("inf"), "m": [float("-inf")]})
    text = json.dumps(to_json([span]), allow_nan=False)
    assert [name in text for name in ('"NaN"', '"Infinity"', '"-Infinity"')] == [True] * 3
