"""Bytes from anybody become spans, or an error that says what is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.trace import SpanKind, StatusCode

from mmtrace.errors import DecodeError, TooLarge
from mmtrace.otlp.decode import decode_span, decode_traces, has_valid_ids, parse, value_of
from mmtrace.spans import Resource, Scope


def request_with(attributes=(), **fields):
    span = {"trace_id": b"\x01" * 16, "span_id": b"\x02" * 8, **fields}
    span["attributes"] = [{"key": key, "value": value} for key, value in attributes]
    return ExportTraceServiceRequest(resource_spans=[{"scope_spans": [{"spans": [span]}]}])


def decoded(attributes=(), **fields):
    (span,) = decode_traces(request_with(attributes, **fields).SerializeToString())
    return span


def text(value):
    return {"string_value": value}


def number(value):
    return {"int_value": value}


def test_an_empty_request_has_no_spans():
    assert decode_traces(b"") == []


def test_what_is_missing_has_its_default():
    span = decoded()
    assert (span.name, span.kind, span.status, span.parent_span_id) == ("", SpanKind.INTERNAL, StatusCode.UNSET, None)
    assert (span.resource, span.scope) == (Resource(), Scope())
    assert span.service == "unknown_service"


def test_kinds_and_states_that_are_not_known_are_the_plain_ones():
    span = decoded(kind=77, status={"code": 9})
    assert (span.kind, span.status) == (SpanKind.INTERNAL, StatusCode.UNSET)


def test_a_parent_of_zeros_is_no_parent():
    assert decoded(parent_span_id=bytes(8)).parent_span_id is None


@pytest.mark.parametrize(
    "fields", [{"trace_id": b""}, {"trace_id": b"\x01" * 8}, {"trace_id": bytes(16)}, {"span_id": b"\x01" * 9}]
)
def test_a_span_without_valid_ids_is_named_in_an_error(fields):
    request = request_with(name="lost", **fields)
    with pytest.raises(DecodeError, match="'lost'"):
        decode_traces(request.SerializeToString())
    assert not has_valid_ids(request.resource_spans[0].scope_spans[0].spans[0])


@pytest.mark.parametrize("body", [b"\xff", b"\x0a\xff\x01", b"hello", request_with().SerializeToString()[:-3]])
def test_damaged_bytes_are_an_error(body):
    with pytest.raises(DecodeError, match="OTLP protobuf"):
        decode_traces(body)
    with pytest.raises(DecodeError):
        decode_span(b"\x0a\xff\x01", Resource(), Scope())


@given(st.binary(max_size=60))
def test_any_bytes_are_spans_or_one_kind_of_error(body):
    try:
        decode_traces(body)
    except DecodeError:
        pass


def test_values_that_are_nested_too_deep_are_an_error():
    value = AnyValue()
    for _ in range(49):
        value = AnyValue(array_value={"values": [value]})
    with pytest.raises(DecodeError):
        parse(request_with([("deep", value)]).SerializeToString())


def test_a_body_over_the_limit_is_too_large():
    body = request_with().SerializeToString()
    assert parse(body, max_bytes=len(body))
    with pytest.raises(TooLarge, match=f"{len(body)} bytes.*{len(body) - 1}"):
        parse(body, max_bytes=len(body) - 1)


def test_fields_of_later_versions_are_ignored():
    body = request_with(name="kept").SerializeToString() + b"\xf2\x3f\x03new"
    assert [span.name for span in decode_traces(body)] == ["kept"]


def test_a_value_of_a_kind_that_is_not_known_is_none():
    assert value_of(AnyValue.FromString(b"\x7a\x01x")) is None
    assert value_of(AnyValue()) is None


def test_old_names_become_new_ones():
    span = decoded([("http.method", text("GET")), ("http.status_code", number(200)), ("mine", number(1))])
    assert span.attributes == {"http.request.method": "GET", "http.response.status_code": 200, "mine": 1}


def test_an_old_name_never_replaces_a_new_one():
    for order in (1, -1):
        pairs = [("http.method", text("old")), ("http.request.method", text("new"))][::order]
        assert decoded(pairs).attributes == {"http.request.method": "new"}


def test_of_two_old_names_for_one_new_the_first_counts():
    pairs = [("net.sock.peer.addr", text("10.0.0.1")), ("net.peer.ip", text("10.0.0.2"))]
    assert decoded(pairs).attributes == {"network.peer.address": "10.0.0.1"}


def test_the_peer_of_a_server_is_the_client():
    pairs = [("net.peer.name", text("there")), ("net.peer.port", number(80))]
    assert decoded(pairs, kind=3).attributes == {"server.address": "there", "server.port": 80}
    assert decoded(pairs, kind=2).attributes == {"client.address": "there", "client.port": 80}


def test_a_grpc_status_becomes_its_name_and_a_partition_becomes_text():
    pairs = [("rpc.grpc.status_code", number(4)), ("messaging.kafka.partition", number(7))]
    assert decoded(pairs).attributes == {
        "rpc.response.status_code": "DEADLINE_EXCEEDED",
        "messaging.destination.partition.id": "7",
    }
    assert decoded([("rpc.grpc.status_code", number(99))]).attributes == {"rpc.response.status_code": 99}
