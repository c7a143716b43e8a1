"""OTLP over HTTP, against a real server: what is sent, what each answer means, TLS, proxies, forks."""

import datetime as dt
import email.utils
import socket
import time

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from forked import in_child
from mmtrace.errors import ConfigurationError
from mmtrace.export.answers import retry_after
from mmtrace.export.otlp_http import OtlpHttp
from mmtrace.export.target import Target
from mmtrace.transport import ACCEPTED, Pipeline, Signal
from ports import free_port

BODY = ExportTraceServiceRequest(
    resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=[Span(name="read page")])])]
).SerializeToString()


@pytest.fixture
def exporter(opened):
    """Makes an exporter of traces to an address."""

    def make(url, path="/v1/traces", **options):
        return opened(OtlpHttp({Signal.TRACES: Target(url + path, **options)}, agent="mmtrace/1"))

    return make


@pytest.fixture
def send():
    return lambda exporter, timeout=5.0: exporter.export(Signal.TRACES, BODY, 1, timeout)


def test_the_body_is_posted_as_it_is(http_receiver, exporter, send):
    assert send(exporter(http_receiver.url)) == ACCEPTED
    (request,) = http_receiver.requests
    assert request.path == "/v1/traces"
    assert request.headers["Content-Type"] == "application/x-protobuf"
    assert request.headers["User-Agent"] == "mmtrace/1"
    assert (
        ExportTraceServiceRequest.FromString(request.body).resource_spans[0].scope_spans[0].spans[0].name == "read page"
    )


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
def test_the_body_is_compressed_where_asked(http_receiver, exporter, send, compression):
    send(exporter(http_receiver.url, compression=compression))
    (request,) = http_receiver.requests
    assert request.headers["Content-Encoding"] == compression
    assert request.body == BODY


def test_headers_go_with_every_request(http_receiver, exporter, send):
    send(exporter(http_receiver.url, headers={"x-api-key": "secret", "User-Agent": "mine"}))
    (request,) = http_receiver.requests
    assert request.headers["x-api-key"] == "secret"
    assert request.headers["User-Agent"] == "mine"


def test_user_and_password_of_the_address_are_sent_but_never_shown(http_receiver, exporter, send):
    made = exporter(http_receiver.url.replace("http://", "http://me:p%40ss@"))
    http_receiver.answer(401)
    outcome = send(made)
    assert http_receiver.requests[0].headers["Authorization"] == "Basic bWU6cEBzcw=="
    assert "p%40ss" not in outcome.message + made.where


def test_each_signal_goes_to_its_own_target(http_receiver, opened):
    targets = {signal: Target(http_receiver.url + signal.path) for signal in Signal}
    made = opened(OtlpHttp(targets))
    for signal in Signal:
        made.export(signal, b"", 0, 5)
    assert [request.path for request in http_receiver.requests] == ["/v1/traces", "/v1/metrics", "/v1/logs"]


def test_a_signal_without_a_target_is_unsupported(http_receiver, exporter):
    assert exporter(http_receiver.url).export(Signal.LOGS, b"", 1, 5).kind == "unsupported"


def test_connections_are_used_again(http_receiver, exporter, send):
    made = exporter(http_receiver.url)
    for _ in range(3):
        send(made)
    assert len(http_receiver.connections) == 1


def test_a_partial_success_says_how_much_was_rejected_and_why(http_receiver, exporter, send):
    partial = ExportTracePartialSuccess(rejected_spans=3, error_message="bad ids")
    http_receiver.answer(200, ExportTraceServiceResponse(partial_success=partial).SerializeToString())
    outcome = send(exporter(http_receiver.url))
    assert (outcome.kind, outcome.rejected, outcome.message) == ("accepted", 3, "bad ids")


@pytest.mark.parametrize("body", [b"fine", b"\x0a\xff\xff", b"\xff" * 40])
def test_an_answer_that_is_no_protobuf_message_is_taken_as_success(http_receiver, exporter, send, body):
    http_receiver.answer(200, body)
    outcome = send(exporter(http_receiver.url))
    assert (outcome.kind, outcome.rejected) == ("accepted", 0)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_receiver_that_is_busy_is_tried_again(http_receiver, exporter, send, status):
    http_receiver.answer(status)
    outcome = send(exporter(http_receiver.url))
    assert (outcome.kind, outcome.retry_after, outcome.answered) == ("retry", None, True)
    assert str(status) in outcome.message


def test_retry_after_in_seconds_is_honoured(http_receiver, exporter, send):
    http_receiver.answer(429, Retry_After="7")
    assert send(exporter(http_receiver.url)).retry_after == 7.0


def test_retry_after_as_a_date_is_honoured(http_receiver, exporter, send):
    moment = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=30)
    http_receiver.answer(503, Retry_After=email.utils.format_datetime(moment, usegmt=True))
    assert 27 < send(exporter(http_receiver.url)).retry_after <= 30


def test_a_date_is_measured_by_the_clock_of_the_receiver(http_receiver, exporter, send):
    """Two dates, an hour ahead of this machine: http.server sends one of its own, and the first one counts."""
    http_receiver.answer(503, Retry_After="Wed, 21 Oct 2015 07:28:30 GMT")
    assert send(exporter(http_receiver.url)).retry_after == 0.0
    assert retry_after("Wed, 21 Oct 2015 07:28:30 GMT", "Wed, 21 Oct 2015 07:28:00 GMT") == 30.0


@pytest.mark.parametrize(("name", "value"), [("x key", "1"), ("x-key", "a\nb"), ("x-key", "€")])
def test_a_header_that_cannot_be_sent_is_a_configuration_error(exporter, name, value):
    with pytest.raises(ConfigurationError, match=name):
        exporter("http://localhost:4318", headers={name: value})


@pytest.mark.parametrize("value", ["soon", "-3", "", "²"])
def test_a_retry_after_that_is_neither_is_left_out(http_receiver, exporter, send, value):
    http_receiver.answer(503, Retry_After=value)
    assert send(exporter(http_receiver.url)).retry_after is None


def test_a_request_that_is_too_large_is_told_apart(http_receiver, exporter, send):
    http_receiver.answer(413)
    assert send(exporter(http_receiver.url)).kind == "too_large"


@pytest.mark.parametrize("status", [400, 401, 403, 405, 415, 500, 501])
def test_other_failures_are_final(http_receiver, exporter, send, status):
    http_receiver.answer(status, b"no such tenant", Content_Type="text/plain")
    outcome = send(exporter(http_receiver.url))
    assert outcome.kind == "rejected"
    assert f"{status} (no such tenant)" in outcome.message


def test_missing_credentials_name_the_variable(http_receiver, exporter, send):
    http_receiver.answer(401)
    assert "OTEL_EXPORTER_OTLP_HEADERS" in send(exporter(http_receiver.url)).message


def test_a_status_in_protobuf_is_quoted(http_receiver, exporter, send):
    http_receiver.answer(400, b"\x08\x03\x12\x0cbad resource")
    assert "400 (bad resource)" in send(exporter(http_receiver.url)).message


def test_a_receiver_that_does_not_know_a_signal_is_unsupported(http_receiver, exporter, send):
    http_receiver.answer(404)
    outcome = send(exporter(http_receiver.url))
    assert outcome.kind == "unsupported"
    assert "Jaeger" in outcome.message


def test_a_wrong_path_names_the_likely_mistake(http_receiver, exporter, send):
    http_receiver.answer(404)
    outcome = send(exporter(http_receiver.url, path="/"))
    assert "/v1/traces" in outcome.message
    assert "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" in outcome.message


@pytest.mark.parametrize("path", ["/v1/traces/v1/traces", "/otlp/v1/metrics/v1/traces"])
def test_a_base_address_with_the_path_of_a_signal_names_the_mistake(http_receiver, exporter, send, path):
    http_receiver.answer(404)
    outcome = send(exporter(http_receiver.url, path=path))
    assert "is added to OTEL_EXPORTER_OTLP_ENDPOINT: leave /v1/... out of it" in outcome.message
    assert "Jaeger" not in outcome.message


def test_nobody_listening_is_tried_again_and_explained(exporter, send):
    outcome = send(exporter(f"http://127.0.0.1:{free_port()}"))
    assert (outcome.kind, outcome.answered) == ("retry", False)
    assert "nobody listens there" in outcome.message
    assert "mmtrace serve" in outcome.message


def test_an_unknown_host_is_tried_again_and_explained(exporter, send):
    outcome = send(exporter("http://no.such.host.invalid:4318"))
    assert (outcome.kind, "host name is unknown" in outcome.message) == ("retry", True)


def test_a_receiver_that_hangs_is_left_at_the_timeout(exporter, send):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        made = exporter(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.3)
        begin = time.monotonic()
        outcome = send(made)
    assert outcome.kind == "retry"
    assert "no answer within 0.3 seconds" in outcome.message
    assert time.monotonic() - begin < 2


def test_the_pipeline_may_allow_less_time_than_the_target(http_receiver, exporter, send):
    http_receiver.delay = 1.0
    begin = time.monotonic()
    assert send(exporter(http_receiver.url), timeout=0.2).kind == "retry"
    assert time.monotonic() - begin < 0.9


def test_the_port_of_grpc_is_recognised(grpc_receiver, exporter, send):
    outcome = send(exporter(f"http://127.0.0.1:{grpc_receiver().port}"))
    assert outcome.kind == "retry"
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=grpc" in outcome.message


def test_tls_trusts_the_given_certificate(https_receiver, certificates, exporter, send):
    assert send(exporter(https_receiver.url, certificate=certificates[0])) == ACCEPTED


def test_tls_trusts_nobody_else(https_receiver, exporter, send):
    outcome = send(exporter(https_receiver.url))
    assert outcome.kind == "retry"
    assert "OTEL_EXPORTER_OTLP_CERTIFICATE" in outcome.message
    assert https_receiver.requests == []


def test_a_client_shows_its_own_certificate(https_receiver, certificates, exporter, send):
    https_receiver.strict()
    certificate, key = certificates
    with_one = exporter(https_receiver.url, certificate=certificate, client_certificate=certificate, client_key=key)
    assert send(with_one) == ACCEPTED
    assert send(exporter(https_receiver.url, certificate=certificate)).kind == "retry"


def test_requests_go_through_a_proxy_where_one_is_set(http_receiver, exporter, send):
    made = exporter("http://collector.invalid:4318", proxy=http_receiver.url.replace("http://", "http://me:secret@"))
    assert send(made) == ACCEPTED
    (request,) = http_receiver.requests
    assert request.path == "http://collector.invalid:4318/v1/traces"
    assert request.headers["Proxy-Authorization"] == "Basic bWU6c2VjcmV0"


def test_a_proxy_that_is_away_is_named(exporter, send):
    outcome = send(exporter("http://collector.invalid:4318", proxy=f"http://127.0.0.1:{free_port()}"))
    assert (outcome.kind, "the proxy does not answer" in outcome.message) == ("retry", True)


@pytest.mark.parametrize("url", ["localhost:4318", "ftp://x/", "http://", "", "http://[::1"])
def test_an_address_that_can_never_work_is_a_configuration_error(url):
    with pytest.raises(ConfigurationError, match="no address for OTLP over HTTP"):
        OtlpHttp({Signal.TRACES: Target(url)})


def test_a_certificate_that_cannot_be_read_is_a_configuration_error():
    with pytest.raises(ConfigurationError, match=r"nowhere\.pem"):
        OtlpHttp({Signal.TRACES: Target("https://localhost:4318/v1/traces", certificate="nowhere.pem")})


def test_secrets_are_not_in_the_text_of_a_target():
    target = Target("http://x", headers={"key": "hush"}, proxy="http://me:hush@proxy")
    assert "hush" not in repr(target)


def test_parent_and_child_use_connections_of_their_own(http_receiver, exporter, send):
    made = exporter(http_receiver.url)
    pipeline = Pipeline(made, schedule_delay=60)
    assert send(made) == ACCEPTED

    def child():
        pipeline.add(Signal.TRACES, None, BODY)
        assert pipeline.flush(60).exported == 1

    in_child(child)
    assert send(made) == ACCEPTED
    assert len(http_receiver.connections) == 2
    pipeline.shutdown(1)


def test_a_pipeline_delivers_over_http(http_receiver, exporter):
    pipeline = Pipeline(exporter(http_receiver.url), schedule_delay=60)
    http_receiver.answer(503, Retry_After="0")
    http_receiver.answer(413)
    for _ in range(4):
        pipeline.add(Signal.TRACES, None, BODY)
    assert pipeline.shutdown(60).exported == 4
    delivered = [
        len(ExportTraceServiceRequest.FromString(request.body).resource_spans) for request in http_receiver.requests
    ]
    assert delivered == [4, 4, 2, 2]


def test_what_was_recorded_while_the_receiver_was_away_is_delivered_when_it_is_back(exporter, http_receiver_on):
    port = free_port()
    pipeline = Pipeline(exporter(f"http://127.0.0.1:{port}"), schedule_delay=0.01)
    with http_receiver_on(port):
        pipeline.add(Signal.TRACES, None, BODY)
        pipeline.flush(60)
    for _ in range(3):
        pipeline.add(Signal.TRACES, None, BODY)
        time.sleep(0.05)
    assert pipeline.health.exported == 1
    with http_receiver_on(port) as receiver:
        pipeline.shutdown(60)
    assert pipeline.health.exported == 4
    assert len(receiver.requests) >= 1
