"""What comes damaged, too large or to the wrong place: a clear answer, and nothing stored."""

import contextlib
import gzip
import json
import socket
import time
import zlib

import httpx
import pytest
from google.rpc.status_pb2 import Status
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

LIMIT = 16 << 20
JSON = {"Content-Type": "application/json"}
SIGNALS = ["/v1/traces", "/v1/metrics", "/v1/logs"]


@pytest.fixture(scope="module")
def refusing(serve_process):
    """A client of a server that refuses everything that this file sends it."""
    with serve_process() as (_, url), httpx.Client(base_url=url, timeout=30) as client:
        yield client


def status_of(answer):
    """Return code and message of google.rpc.Status in the encoding of the answer."""
    if answer.headers["content-type"] == "application/x-protobuf":
        status = Status.FromString(answer.content)
        return status.code, status.message
    return answer.json()["code"], answer.json()["message"]


def assert_nothing_stored(client):
    assert client.get("/api/v3/services").json() == {"services": []}


@pytest.mark.parametrize("path", SIGNALS)
@pytest.mark.parametrize("body", [b"\xff", b"\x0a\xff\xff", b"not protobuf at all", b"\x0a\x05ab"])
def test_damaged_protobuf_is_400(refusing, kit, path, body):
    answer = refusing.post(path, content=body, headers=kit.protobuf)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/x-protobuf"
    code, message = status_of(answer)
    assert code == 3
    assert "ServiceRequest" in message
    assert_nothing_stored(refusing)


@pytest.mark.parametrize("path", SIGNALS)
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b'{"resourceSpans": 5, "resourceMetrics": 5, "resourceLogs": 5}',
        b'{"resourceSpans": [5], "resourceMetrics": [5], "resourceLogs": [5]}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"resourceSpans": NaN, "resourceMetrics": NaN, "resourceLogs": NaN}',
    ],
    ids=["open", "empty", "list", "null", "text", "binary", "number", "lists", "deep", "deep objects", "nan"],
)
def test_damaged_json_is_400(refusing, path, body):
    answer = refusing.post(path, content=body, headers=JSON)
    assert answer.status_code == 400, answer.text
    code, message = status_of(answer)
    assert code == 3
    assert "the body" in message
    assert_nothing_stored(refusing)


@pytest.mark.parametrize(
    "span",
    [
        {"traceId": "xyz"},
        {"traceId": 5},
        {"name": {"a": 1}},
        {"startTimeUnixNano": "1e400"},
        {"attributes": [{"key": "a", "value": {"intValue": str(1 << 70)}}]},
    ],
)
def test_a_span_of_json_that_is_none_is_400(refusing, span):
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "1" * 32, "spanId": "1" * 16}, span]}]}]}
    assert refusing.post("/v1/traces", json=body).status_code == 400
    assert_nothing_stored(refusing)


def test_text_that_is_not_utf_8_is_400(refusing, kit):
    body = kit.request(kit.span("abcd")).SerializeToString().replace(b"abcd", b"\xff\xfe\xfd\xfc")
    assert refusing.post("/v1/traces", content=body, headers=kit.protobuf).status_code == 400
    assert_nothing_stored(refusing)


def test_values_nested_too_deep_are_400(refusing, kit):
    request = kit.request(kit.span())
    value = request.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="deep").value
    for _ in range(60):
        value = value.array_value.values.add()
    assert refusing.post("/v1/traces", content=request.SerializeToString(), headers=kit.protobuf).status_code == 400
    assert_nothing_stored(refusing)


@pytest.mark.parametrize("headers", [{"Content-Type": "application/x-protobuf"}, JSON])
@pytest.mark.parametrize("in_chunks", [False, True])
def test_a_body_over_16_mib_is_413(refusing, headers, in_chunks):
    body = b"x" * (LIMIT + 1)
    content = (body[at : at + 65536] for at in range(0, len(body), 65536)) if in_chunks else body
    answer = refusing.post("/v1/traces", content=content, headers=headers)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == headers["Content-Type"]
    code, message = status_of(answer)
    assert code == 8
    assert "16 MiB" in message
    assert_nothing_stored(refusing)


def test_a_body_of_just_16_mib_is_taken(server, client, kit):
    span = kit.span(filler="")
    room = LIMIT - kit.request(span).ByteSize()
    span.attributes[0].value.string_value = "x" * (room - 40)
    request = kit.request(span)
    request.resource_spans[0].schema_url = "s" * (LIMIT - request.ByteSize() - 4)
    body = request.SerializeToString()
    assert LIMIT - 8 < len(body) <= LIMIT
    assert client.post("/v1/traces", content=body, headers=kit.protobuf).status_code == 200
    assert server.store.trace(kit.number(span))


def test_an_announced_length_beyond_all_bounds_is_413_at_once(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        head = f"POST /v1/traces HTTP/1.1\r\nHost: localhost:{server.port}\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: 99999999999\r\n\r\nsome".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")
    assert server.store.stats().spans == 0


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_body_that_unpacks_to_over_16_mib_is_413(refusing, kit, encoding):
    bomb = b"".join(_bomb(encoding, 200 << 20))
    assert len(bomb) < 1 << 20
    answer = refusing.post("/v1/traces", content=bomb, headers={**kit.protobuf, "Content-Encoding": encoding})
    assert answer.status_code == 413
    assert status_of(answer)[0] == 8
    assert_nothing_stored(refusing)


def _bomb(encoding, size):
    packer = zlib.compressobj(9, wbits=31 if encoding == "gzip" else 15)
    for _ in range(size >> 20):
        yield packer.compress(bytes(1 << 20))
    yield packer.flush()


def test_many_gzip_members_that_unpack_to_over_16_mib_are_413(refusing, kit):
    body = gzip.compress(bytes(1 << 20)) * 17
    answer = refusing.post("/v1/traces", content=body, headers={**kit.protobuf, "Content-Encoding": "gzip"})
    assert answer.status_code == 413


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("damage", [lambda body: body[:-9], lambda body: b"\x1f\x8b" + body[9:], lambda body: body[:1]])
def test_a_damaged_compressed_body_is_400(refusing, kit, encoding, damage):
    body = kit.request(kit.span()).SerializeToString()
    packed = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)
    answer = refusing.post("/v1/traces", content=damage(packed), headers={**kit.protobuf, "Content-Encoding": encoding})
    assert answer.status_code == 400
    assert "compressed" in status_of(answer)[1]
    assert_nothing_stored(refusing)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "", "application/"]
)
def test_an_unknown_content_type_is_415(refusing, kit, kind):
    body = kit.request(kit.span()).SerializeToString()
    answer = refusing.post("/v1/traces", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert "application/x-protobuf" in status_of(answer)[1]
    assert_nothing_stored(refusing)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "nonsense"])
def test_an_unknown_content_encoding_is_415(refusing, kit, encoding):
    body = kit.request(kit.span()).SerializeToString()
    answer = refusing.post("/v1/traces", content=body, headers={**kit.protobuf, "Content-Encoding": encoding})
    assert answer.status_code == 415
    assert "gzip" in status_of(answer)[1]
    assert_nothing_stored(refusing)


@pytest.mark.parametrize(
    "path", ["/v1/trace", "/v1/spans", "/v1/traces/more", "/V1/traces", "/nothing", "/api/v3/nothing"]
)
def test_an_unknown_path_is_404(refusing, kit, path):
    answer = refusing.post(path, content=kit.request(kit.span()).SerializeToString(), headers=kit.protobuf)
    assert answer.status_code == 404
    assert b"there is nothing at" in answer.content
    assert_nothing_stored(refusing)


def test_a_nearly_right_path_is_named(refusing, kit):
    answer = refusing.post("/v1/trace", content=b"", headers=kit.protobuf)
    assert "did you mean '/v1/traces'?" in status_of(answer)[1]


@pytest.mark.parametrize("path", SIGNALS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_a_wrong_method_is_405(refusing, path, method):
    answer = refusing.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert "is for POST" in status_of(answer)[1]


@pytest.mark.parametrize("path", ["/api/v3/services", "/api/v3/traces"])
def test_queries_are_read_only(refusing, path):
    assert refusing.post(path, json={}).status_code == 405


def test_a_sender_that_goes_away_leaves_nothing_and_the_server_goes_on(server, client, kit):
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            head = "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\n"
            connection.sendall(f"{head}Content-Length: 1000\r\n\r\nsome".encode())
    assert server.store.stats().spans == 0
    assert kit.send(client, kit.span()).status_code == 200


def test_too_many_bodies_at_a_time_are_503_until_there_is_room(server, client, kit):
    answers = []
    while 503 not in [answer.status_code for answer in answers]:
        with four_unfinished_bodies(server):
            time.sleep(0.5)  # until the server has read them; where that was too short, once more
            answers.append(kit.send(client, kit.span()))
    assert answers[-1].headers["retry-after"] == "1"
    assert status_of(answers[-1])[0] == 14
    while kit.send(client, kit.span()).status_code == 503:
        time.sleep(0.05)
    assert server.store.stats().spans == len(answers)


@contextlib.contextmanager
def four_unfinished_bodies(server):
    """Hold four connections that have sent 16 MiB less a byte each, and wait with that."""
    head = "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\n"
    with contextlib.ExitStack() as senders:
        for _ in range(4):
            sender = senders.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            sender.sendall(f"{head}Content-Length: {LIMIT}\r\n\r\n".encode() + bytes(LIMIT - 1))
        yield


def test_when_the_store_is_behind_the_answer_is_503_and_comes_with_a_time(server, client, kit, monkeypatch):
    monkeypatch.setattr(server.store._writer, "_closing", True)
    answer = kit.send(client, kit.span())
    monkeypatch.undo()
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert status_of(answer)[0] == 14
    assert server.store.stats().spans == 0


@pytest.fixture(scope="module")
def process(serve_process):
    """A server in a process of its own, for as long as the cases of this file go on."""
    with serve_process() as (_, url), httpx.Client(base_url=url, timeout=30) as client:
        yield client


_fuzz = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
_keys = st.sampled_from(
    [
        *("resourceSpans", "scopeSpans", "spans", "traceId", "spanId", "attributes", "key", "value", "stringValue"),
        *("intValue", "resource", "scope", "links", "events", "resourceMetrics", "scopeMetrics", "metrics", "gauge"),
        *("dataPoints", "resourceLogs", "scopeLogs", "logRecords", "body", "status", "kind"),
    ]
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys | st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@_fuzz
@given(body=st.binary(max_size=300), path=st.sampled_from(SIGNALS), encoding=st.sampled_from(["", "gzip", "deflate"]))
def test_whatever_bytes_come_the_answer_is_200_or_400(process, body, path, encoding):
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": encoding}
    assert process.post(path, content=body, headers=headers).status_code in {200, 400}


@_fuzz
@given(tree=_json, path=st.sampled_from(SIGNALS))
@example(
    tree={"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "00" * 16, "spanId": ""}]}]}]}, path="/v1/traces"
)
def test_whatever_json_comes_the_answer_is_200_or_400(process, tree, path):
    body = json.dumps(tree).encode()
    assert process.post(path, content=body, headers=JSON).status_code in {200, 400}


@_fuzz
@given(data=st.data())
def test_a_valid_body_with_damage_is_taken_or_refused_and_what_is_taken_can_be_read(process, data, kit):
    span = kit.span("damaged", text="abc", number=5)
    body = bytearray(kit.request(span).SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    answer = process.post("/v1/traces", content=bytes(body), headers=kit.protobuf)
    assert answer.status_code in {200, 400}
    if answer.status_code == 200:
        for group in ExportTraceServiceRequest.FromString(bytes(body)).resource_spans:
            for sent in (span for scope in group.scope_spans for span in scope.spans):
                number = int.from_bytes(sent.trace_id, "big")
                assert process.get(f"/api/v3/traces/{number:032x}"[:47]).status_code in {200, 404}
        assert process.get("/api/v3/services").status_code == 200
