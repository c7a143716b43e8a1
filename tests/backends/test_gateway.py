"""What the gateway keeps, hides and hands on, with traces written by hand."""

import json
import time
import urllib.request

import pytest

from backends.running import until
from backends.stack import Jaeger, agent, by_trace, gateway
from mmtrace import attributes as names
from receiver import Receiver
from traffic import Scribe, send

SECRETS = {
    "db.password": "hunter2",
    "http.request.header.authorization": "Basic YWxhZGRpbjpvcGVuc2VzYW1l",
    "note": "write to anna.b@mail.example.org",
    "card": "paid with 4111 1111 1111 1111",
    "key": "sk-abcdefghijklmnopqrstuvwx",
}
HARMLESS = {
    names.MESSAGING_MESSAGE_ID: "1764326400000-0",  # of a Redis stream
    names.MODEL_NAME: "bge-reranker",
    "note.time": "2026-11-28T12:00:00Z",
    "gen_ai.usage.input_tokens": 214,
    "enduser.tokens": "many",
}


class Writer:
    """Writes traces of two spans, and knows which of them a gateway is to keep."""

    def __init__(self):
        self._scribe = Scribe(time.time_ns())
        self.kept = set()

    @property
    def spans(self):
        return self._scribe.spans

    def trace(self, *, keep, milliseconds=20, name="POST /read", **more):
        trace = self._scribe.trace()
        root = self._scribe.span(trace, name, 0, milliseconds, "gateway", kind="server")
        self._scribe.span(trace, "rerank m", 1, milliseconds - 1, "reranker", root, **more)
        if keep:
            self.kept.add(trace)
        return trace

    def worth_keeping(self):
        return by_trace(span for span in self.spans if span.trace_id in self.kept).values()


@pytest.fixture
def backends(tmp_path):
    """A Jaeger and a receiver of logs, and how to start a gateway before them that keeps no baseline."""
    with Jaeger(tmp_path / "jaeger") as jaeger, Receiver() as loki:
        loki.bodies["/otlp/v1/logs"] = loki.bodies["/v1/logs"]
        where = {"jaeger": jaeger.endpoint, "loki": f"{loki.url}/otlp", "KEEP_PERCENT": 0}
        yield jaeger, loki, gateway(tmp_path / "gateway", **where)


def test_every_policy_keeps_what_it_is_for_and_the_rest_is_left_out(backends):
    jaeger, _, first = backends
    writer = Writer()
    writer.trace(keep=True, error="CUDA out of memory")
    writer.trace(keep=True, milliseconds=2600)
    writer.trace(keep=True, attributes={names.TIME_TO_FIRST_OUTPUT: 2.1})
    writer.trace(keep=True, attributes={names.EXEMPLAR: True})
    writer.trace(keep=True, attributes={names.KEEP: True})
    writer.trace(keep=True, name="batch m")
    for _ in range(20):
        writer.trace(keep=False, attributes={names.TIME_TO_FIRST_OUTPUT: 0.1})
    with first:
        send(first.url, writer.spans)
        counter = "otelcol_processor_tail_sampling_global_count_traces_sampled"
        until(lambda: first.measured(counter) == 26, 30, "all is decided")
        held = jaeger.once_it_holds(writer.worth_keeping())
    assert held.keys() == writer.kept
    assert {len(trace.spans) for trace in held.values()} == {2}


def test_a_gateway_that_is_asked_to_end_decides_on_what_it_holds(backends):
    jaeger, _, first = backends
    writer = Writer()
    for _ in range(50):
        writer.trace(keep=True, error="CUDA out of memory")
    with first:
        send(first.url, writer.spans)
    with first:  # what it decided last may have stayed in its queue on disk
        held = jaeger.once_it_holds(writer.worth_keeping())
    assert held.keys() == writer.kept


def test_secrets_and_personal_data_are_hidden_and_harmless_values_are_not(backends):
    jaeger, _, first = backends
    writer = Writer()
    long = {"prompt": "x" * 50_000}
    trace_id = writer.trace(keep=True, error="no", attributes={**SECRETS, **HARMLESS, **long})
    with first:
        send(first.url, writer.spans)
        trace = jaeger.once_it_holds(writer.worth_keeping())[trace_id]
    (span,) = [span for span in trace.spans if span.name == "rerank m"]
    for secret in ("hunter2", "YWxhZGRp", "anna.b@", "4111", "sk-abc"):
        assert not any(secret in str(value) for value in span.attributes.values()), secret
    assert {key: span.attributes[key] for key in HARMLESS} == HARMLESS
    assert span.attributes["note"].startswith("write to ")
    assert len(span.attributes["prompt"]) == 32768


def test_logs_reach_the_log_store_with_their_trace_id_and_without_secrets(tmp_path, backends):
    _, loki, behind = backends
    record = {
        "timeUnixNano": str(time.time_ns()),
        "severityText": "WARN",
        "body": {"stringValue": "anna@example.org waits"},
        "attributes": [{"key": "api_key", "value": {"stringValue": "hunter2"}}],
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": "b7ad6b7169203331",
    }
    body = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
    with behind, agent(tmp_path / "agent", behind.grpc_port) as first:
        asked = urllib.request.Request(
            f"{first.url}/v1/logs", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(asked, timeout=30).close()
        (request, *_) = until(lambda: loki.requests("/v1/logs"), 30)
    (log,) = request.resource_logs[0].scope_logs[0].log_records
    assert log.trace_id.hex() == record["traceId"]
    assert log.body.string_value.endswith(" waits")
    assert "anna@" not in str(log) and "hunter2" not in str(log)
