import pytest
from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

import mmtrace
from mmtrace import attributes as names
from mmtrace.calls import telemetry
from mmtrace.calls.foreign import ForeignCalls

CHAT = {
    names.GEN_AI_OPERATION_NAME: "chat",
    names.GEN_AI_PROVIDER_NAME: "openai",
    names.GEN_AI_REQUEST_MODEL: "gpt-x",
    names.GEN_AI_USAGE_INPUT_TOKENS: 11,
}


@pytest.fixture
def tracer(recorded):
    trace.get_tracer_provider().add_span_processor(ForeignCalls())
    yield trace.get_tracer("somebody.else")
    recorded.take()


def readings(metric):
    return [reading for reading in telemetry.metrics.read() if reading.line.metric is metric]


def test_a_chat_of_another_instrumentation_counts_as_a_model_call(tracer):
    with tracer.start_as_current_span("chat gpt-x", attributes=CHAT):
        pass
    (reading,) = readings(names.CALL_DURATION)
    assert reading.line.attributes["model"] == "gpt-x"
    assert reading.line.attributes["framework"] == "openai"
    assert sum(reading.counts) == 1
    assert readings(names.MODEL_TOKENS)[0].value == 11


def test_a_chat_that_failed_counts_as_an_error(tracer):
    with tracer.start_as_current_span("chat gpt-x", attributes={**CHAT, names.ERROR_TYPE: "429"}) as span:
        span.set_status(Status(StatusCode.ERROR))
    assert readings(names.CALL_DURATION)[0].line.attributes[names.ERROR_TYPE] == "429"


def test_a_chat_inside_an_open_call_counts_once(tracer):
    with mmtrace.model_call("assistant", task="chat"), tracer.start_as_current_span("chat gpt-x", attributes=CHAT):
        pass
    assert [reading.line.attributes["model"] for reading in readings(names.CALL_DURATION)] == ["assistant"]


def test_a_span_that_is_no_model_call_counts_nowhere(tracer):
    with tracer.start_as_current_span("execute_tool"):
        pass
    assert readings(names.CALL_DURATION) == []
