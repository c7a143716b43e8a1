import json
from datetime import datetime, timezone

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from mmtrace.otlp.decode import decode_traces
from mmtrace.otlp.json_form import parse_json

SECOND = 1_000_000_000
NOON = int(datetime(2026, 11, 22, 12, tzinfo=timezone.utc).timestamp()) * SECOND
HOUR = {"query.start_time_min": "2026-11-22T11:30:00Z", "query.start_time_max": "2026-11-22T12:30:00Z"}


@pytest.fixture(scope="module")
def client(serve_process):
    with serve_process() as (_, url), httpx.Client(base_url=url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def shop(client, kit):
    """Three traces around noon."""
    fast = kit.span("GET /read", start=NOON, duration=0.25, http__route="/read")
    fast.kind = Span.SPAN_KIND_SERVER
    slow = kit.span("GET /rank", start=NOON + SECOND, duration=2.0, http__route="/rank", size=3)
    child = kit.span("rerank bge", trace_id=slow.trace_id, parent=slow.span_id, start=NOON + 2 * SECOND)
    other = kit.span("nightly", start=NOON + 3600 * SECOND)
    kit.send(client, fast, slow, service="gateway")
    kit.send(client, child, service="ranker")
    kit.send(client, other, service="batch")
    return {"fast": fast, "slow": slow, "other": other}


def names(answer):
    assert answer.status_code == 200, answer.text
    groups = answer.json()["result"]["resourceSpans"]
    return sorted(span["name"] for group in groups for scope in group["scopeSpans"] for span in scope["spans"])


def test_services_are_listed(client, shop):
    assert client.get("/api/v3/services").json() == {"services": ["batch", "gateway", "ranker"]}


def test_an_empty_store_has_no_services(server):
    assert httpx.get(f"{server.url}/api/v3/services").json() == {"services": []}


def test_operations_of_a_service_are_listed_with_their_kind(client, shop):
    found = client.get("/api/v3/operations", params={"service": "gateway"}).json()
    rank, read = {"name": "GET /rank", "spanKind": "internal"}, {"name": "GET /read", "spanKind": "server"}
    assert found == {"operations": [rank, read]}
    for name in ("span_kind", "spanKind"):
        chosen = client.get("/api/v3/operations", params={"service": "gateway", name: "SERVER"}).json()
        assert chosen == {"operations": [read]}
    assert client.get("/api/v3/operations", params={"service": "nobody"}).json() == {"operations": []}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["GET /rank", "GET /read", "rerank bge"]),
        ({"query.service_name": "gateway"}, ["GET /rank", "GET /read", "rerank bge"]),
        ({"query.serviceName": "ranker"}, ["GET /rank", "rerank bge"]),
        ({"query.service_name": "gateway", "query.operation_name": "GET /read"}, ["GET /read"]),
        ({"query.operationName": "rerank bge"}, ["GET /rank", "rerank bge"]),
        ({"query.num_traces": "1"}, ["GET /rank", "rerank bge"]),
        ({"query.searchDepth": "1"}, ["GET /rank", "rerank bge"]),
        ({"query.duration_min": "1s"}, ["GET /rank", "rerank bge"]),
        ({"query.durationMin": "250ms", "query.durationMax": "0.25s"}, ["GET /read"]),
        ({"query.duration_max": "1m0.5s"}, ["GET /rank", "GET /read", "rerank bge"]),
        ({"query.attributes": '{"http.route": "/rank", "size": "3"}'}, ["GET /rank", "rerank bge"]),
        ({"query.start_time_min": "2026-11-22T12:00:00.999999999Z"}, ["GET /rank", "rerank bge"]),
        ({"query.start_time_max": "2026-11-22T13:00:00.5+01:00"}, ["GET /read"]),
    ],
)
def test_traces_are_found(client, shop, query, found):
    assert names(client.get("/api/v3/traces", params={**HOUR, **query})) == found


def test_camel_case_names_are_understood_as_well(client, shop):
    times = {"query.startTimeMin": "2026-11-22T12:59:00Z", "query.startTimeMax": "2026-11-22T13:01:00Z"}
    assert names(client.get("/api/v3/traces", params=times)) == ["nightly"]


def test_a_trace_is_returned_as_otlp_json(client, shop, kit):
    answer = client.get(f"/api/v3/traces/{kit.number(shop['slow']):032x}")
    assert names(answer) == ["GET /rank", "rerank bge"]
    sent = decode_traces(parse_json(json.dumps(answer.json()["result"])).SerializeToString())
    assert {span.service for span in sent} == {"gateway", "ranker"}
    assert {span.trace_id for span in sent} == {kit.number(shop["slow"])}
    assert sent[0].attributes == {"http.route": "/rank", "size": 3}


def test_a_trace_id_may_leave_out_leading_zeros(client, shop, kit):
    assert names(client.get(f"/api/v3/traces/{kit.number(shop['fast']):x}")) == ["GET /read"]


@pytest.mark.parametrize("path", [f"/api/v3/traces/{'a' * 32}", "/api/v3/traces/0"])
def test_an_unknown_trace_is_404_in_jaegers_form(client, shop, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json() == {"error": {"httpCode": 404, "message": "No traces found"}}


def test_a_search_without_a_result_is_404_as_in_jaeger(client, shop):
    answer = client.get("/api/v3/traces", params={**HOUR, "query.service_name": "nobody"})
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "No traces found"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/api/v3/traces", "query.start_time_min and query.start_time_max are required"),
        ("/api/v3/traces?query.start_time_min=2026-11-22T12:00:00Z", "are required"),
        ("/api/v3/traces?query.start_time_min=noon&query.start_time_max=noon", "query.start_time_min"),
        ("/api/v3/traces?query.start_time_min=2026-13-22T12:00:00Z&query.start_time_max=x", "query.start_time_min"),
        (
            "/api/v3/traces?query.start_time_min=0001-01-01T00:00:00%2B10:00&query.start_time_max=x",
            "query.start_time_m",
        ),
        ("/api/v3/traces?{hour}&query.num_traces=many", "query.num_traces"),
        ("/api/v3/traces?{hour}&query.num_traces=-1", "query.num_traces"),
        ("/api/v3/traces?{hour}&query.duration_min=5", "query.duration_min"),
        ("/api/v3/traces?{hour}&query.duration_max=5 s", "query.duration_max"),
        ("/api/v3/traces?{hour}&query.attributes=a=b", "query.attributes"),
        ("/api/v3/traces?{hour}&query.attributes=[1]", "query.attributes"),
        ('/api/v3/traces?{hour}&query.attributes={{"a":1}}', "query.attributes"),
        ("/api/v3/traces/xyz", "trace_id"),
        ("/api/v3/traces/1?start_time=yesterday", "start_time"),
        (f"/api/v3/traces/{'a' * 33}", "trace_id"),
        ("/api/v3/operations", "service is required"),
    ],
)
def test_a_bad_parameter_is_400_and_named(client, path, message):
    hour = "&".join(f"{name}={value}" for name, value in HOUR.items())
    answer = client.get(path.format(hour=hour))
    assert answer.status_code == 400
    assert answer.json()["error"]["httpCode"] == 400
    assert message in answer.json()["error"]["message"]


def test_an_unknown_path_of_the_api_is_404_in_jaegers_form(client):
    assert client.get("/api/traces").json()["error"]["httpCode"] == 404
