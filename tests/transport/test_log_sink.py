"""The log record processor: a stock LoggerProvider's records travel by our pipeline."""

import logging

import pytest
from opentelemetry import context
from opentelemetry._logs import SeverityNumber
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from mmtrace.transport import Signal
from mmtrace.transport.logs import LogSink


@pytest.fixture
def provider(pipeline):
    made = LoggerProvider(Resource({"service.name": "ocr"}), shutdown_on_exit=False)
    made.sink = LogSink([pipeline()])
    made.add_log_record_processor(made.sink)
    return made


@pytest.fixture
def requests(shelf):
    return lambda: [ExportLogsServiceRequest.FromString(body) for body in shelf.bodies]


def test_records_are_delivered_under_one_resource_and_scope(provider, requests):
    logger = provider.get_logger("app", "2")
    for number in range(3):
        logger.emit(body=f"page {number}", severity_number=SeverityNumber.WARN, attributes={"page": number})
    assert provider.force_flush()
    (request,) = requests()
    (resource,) = request.resource_logs
    (scope,) = resource.scope_logs
    assert resource.resource.attributes[0].value.string_value == "ocr"
    assert (scope.scope.name, scope.scope.version) == ("app", "2")
    assert [record.body.string_value for record in scope.log_records] == ["page 0", "page 1", "page 2"]
    assert {record.severity_number for record in scope.log_records} == {13}


def test_a_record_knows_its_span(provider, requests):
    with TracerProvider(shutdown_on_exit=False).get_tracer("x").start_as_current_span("x") as span:
        provider.get_logger("app").emit(body="inside")
    provider.force_flush()
    record = requests()[0].resource_logs[0].scope_logs[0].log_records[0]
    assert int.from_bytes(record.trace_id, "big") == span.context.trace_id
    assert int.from_bytes(record.span_id, "big") == span.context.span_id


def test_records_count_in_the_account_of_logs(provider):
    provider.get_logger("app").emit(body="one")
    (pipeline,) = provider.sink._pipelines
    assert pipeline.flush(5).exported == 1
    assert pipeline.health_of(Signal.LOGS).exported == 1
    assert pipeline.health.started == 0


def test_what_our_own_requests_log_is_left_out(provider, requests):
    token = context.attach(context.set_value(context._SUPPRESS_INSTRUMENTATION_KEY, True))
    provider.get_logger("app").emit(body="urllib3 says")
    context.detach(token)
    provider.force_flush()
    assert requests() == []


def test_a_record_that_cannot_be_encoded_is_counted_and_said(provider, said):
    provider.get_logger("app").emit(body=object())
    (pipeline,) = provider.sink._pipelines
    provider.force_flush()
    assert pipeline.health_of(Signal.LOGS).dropped == {"encode_error": 1}
    assert "log record" in said()[0]
    assert logging.getLogger("mmtrace").level <= logging.WARNING


def test_redact_sees_attributes_and_body_and_nothing_else_is_changed(pipeline, requests):
    provider = LoggerProvider(shutdown_on_exit=False)
    seen = []
    provider.add_log_record_processor(LogSink([pipeline()], redact=lambda key, _: None if key == "card" else "***"))
    provider.add_log_record_processor(type("Other", (LogSink,), {"on_emit": lambda _, record: seen.append(record)})([]))
    provider.get_logger("app").emit(body="card 4242", attributes={"card": "4242", "page": "7"})
    assert provider.force_flush()
    record = requests()[0].resource_logs[0].scope_logs[0].log_records[0]
    assert record.body.string_value == "***"
    assert {pair.key: pair.value.string_value for pair in record.attributes} == {"page": "***"}
    assert seen[0].log_record.body == "card 4242"


def test_redact_that_fails_leaves_the_value_out(pipeline, requests):
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(LogSink([pipeline()], redact=lambda *_: 1 / 0))
    provider.get_logger("app").emit(body="card 4242", attributes={"card": "4242"})
    assert provider.force_flush()
    record = requests()[0].resource_logs[0].scope_logs[0].log_records[0]
    assert "4242" not in str(record)
