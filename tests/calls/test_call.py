import asyncio
import gc
import threading

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

import mmtrace
from forked import in_child
from mmtrace import attributes as names
from mmtrace.calls import telemetry
from mmtrace.calls.call import Call, ModelCall
from mmtrace.calls.model import Model
from mmtrace.calls.telemetry import ContentPolicy
from mmtrace.testing import record_spans


def count_of(model, outcome=None):
    """Return how many calls of `model` the metrics know."""
    found = 0
    for reading in telemetry.metrics.read():
        labels = reading.line.attributes
        if reading.line.metric is names.CALL_DURATION and labels.get("model") == model:
            found += sum(reading.counts) if outcome in {None, labels["outcome"]} else 0
    return found


def test_a_call_ends_once_however_often_it_is_ended(recorded):
    call = Call.start("work")
    call.end()
    call.end(ValueError("late"))
    assert recorded.one().status is StatusCode.UNSET


def test_a_call_is_current_only_inside_its_steps(recorded):
    call = Call.start("work")
    assert not trace.get_current_span().is_recording()
    with call.step():
        assert trace.get_current_span() is call.span
    assert not trace.get_current_span().is_recording()
    call.end()
    recorded.take()


def test_a_call_may_end_in_another_thread(recorded):
    call = Call.start("work")
    thread = threading.Thread(target=call.end)
    thread.start()
    thread.join()
    assert recorded.one().name == "work"


def test_the_duration_of_the_metric_and_of_the_span_are_the_same(recorded):
    with mmtrace.model_call("timed-model"):
        recorded.clock.advance(0.25)
    span = recorded.one()
    (reading,) = [
        reading
        for reading in telemetry.metrics.read()
        if reading.line.metric is names.CALL_DURATION and reading.line.attributes.get("model") == "timed-model"
    ]
    assert reading.sum == pytest.approx(span.duration)


def test_an_error_is_recorded_and_raised_as_it_was(recorded):
    error = ValueError("no such page")
    with pytest.raises(ValueError, match="no such page") as raised, mmtrace.model_call("failing", task="ocr"):
        raise error
    assert raised.value is error
    span = recorded.one()
    assert span.status is StatusCode.ERROR
    assert span.attributes[names.ERROR_TYPE] == "ValueError"
    assert span.attributes[names.OUTCOME] == "error"
    assert span.events[0].attributes[names.EXCEPTION_MESSAGE] == "no such page"
    assert count_of("failing", "error") == 1


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt(), SystemExit(), GeneratorExit()])
def test_a_call_that_somebody_stopped_is_cancelled_and_no_error(recorded, error):
    model = f"stopped-by-{type(error).__name__}"
    with pytest.raises(type(error)), mmtrace.model_call(model):
        raise error
    span = recorded.one()
    assert span.status is StatusCode.UNSET
    assert span.events == ()
    assert span.attributes[names.OUTCOME] == "cancelled"
    assert count_of(model, "cancelled") == 1


def test_the_outermost_call_of_a_runtime_shows_once(recorded):
    with mmtrace.model_call("outer", framework="sklearn"), mmtrace.model_call("inner", framework="sklearn") as inner:
        inner.set(batch_size=3)
        inner.set_attribute("ignored", 1)
    assert recorded.one().name == "infer outer"
    assert count_of("inner") == 0


def test_a_call_of_another_runtime_is_a_child_span_without_call_metrics(recorded):
    with mmtrace.model_call("reranker"), mmtrace.model_call("forest", framework="sklearn"):
        pass
    child, parent = recorded.take()
    assert child.parent_span_id == parent.span_id
    assert count_of("reranker") == 1
    assert count_of("forest") == 0


def test_a_nested_call_counts_when_it_is_asked_to(recorded):
    with mmtrace.model_call("a", framework="torch"), mmtrace.model_call("b-nested", framework="torch", nested=True):
        pass
    assert [span.name for span in recorded.take()] == ["infer b-nested", "infer a"]
    assert count_of("b-nested") == 1


def test_a_recursive_model_shows_once(recorded):
    @mmtrace.model("recursive")
    def descend(depth):
        return depth and descend(depth - 1)

    descend(5)
    assert recorded.one().name == "infer recursive"


async def test_tasks_that_start_inside_a_call_are_calls_of_their_own(recorded):
    async def part(number):
        with mmtrace.model_call(f"part-{number}", framework="torch"):
            await asyncio.sleep(0)

    with mmtrace.model_call("whole", framework="torch"):
        await asyncio.gather(*(part(number) for number in range(5)))
    whole = recorded.named("infer whole")
    parts = recorded.take()
    assert len(parts) == 5
    assert {span.parent_span_id for span in parts} == {whole.span_id}


def test_a_call_that_has_ended_hides_nothing(recorded):
    call = ModelCall.of(Model("ended", framework="torch"))
    with call.step():
        call.end()
        with mmtrace.model_call("after", framework="torch"):
            pass
    assert {span.name for span in recorded.take()} == {"infer ended", "infer after"}


def test_facts_of_a_call_are_attributes_and_metrics(recorded):
    with mmtrace.model_call("writer", version="7", task="generate", framework="llama_cpp") as call:
        call.set(batch_size=2, input_tokens=30, output_tokens=12, input_shapes=["2x16"], device="cpu")
    attributes = recorded.one().attributes
    assert attributes[names.MODEL_VERSION] == "7"
    assert attributes[names.INPUT_TOKENS] == 30
    assert attributes[names.INPUT_SHAPES] == ["2x16"] or attributes[names.INPUT_SHAPES] == ("2x16",)
    assert attributes[names.GEN_AI_OPERATION_NAME] == "text_completion"
    assert attributes[names.GEN_AI_PROVIDER_NAME] == "llama_cpp"
    assert attributes[names.GEN_AI_USAGE_OUTPUT_TOKENS] == 12
    tokens = {
        reading.line.attributes["direction"]: reading.value
        for reading in telemetry.metrics.read()
        if reading.line.metric is names.MODEL_TOKENS and reading.line.attributes["model"] == "writer"
    }
    assert tokens == {"input": 30, "output": 12}


def test_gen_ai_names_are_set_only_where_such_an_operation_fits(recorded):
    with mmtrace.model_call("reader", task="ocr"):
        pass
    assert not [key for key in recorded.one().attributes if key.startswith("gen_ai.")]


def test_an_unknown_key_is_recorded_as_it_is_and_said_once(recorded, caplog):
    from mmtrace.recording import guard

    with mmtrace.model_call("keys") as call:
        call.set(temprature=0.2)
        call.set(temprature=0.3)
    assert recorded.one().attributes["temprature"] == 0.3
    guard.say()
    assert len([record for record in caplog.records if "temprature" in record.message]) == 1


def test_calls_that_sampling_leaves_out_are_counted():
    from mmtrace.recording.sampling import sampler_from

    with record_spans(sampler=sampler_from("always_off")):
        for _ in range(7):
            with mmtrace.model_call("unsampled"):
                pass
    assert count_of("unsampled") == 7


def test_the_first_sampled_call_of_a_series_is_its_exemplar(recorded):
    for _ in range(3):
        with mmtrace.model_call("exemplary"):
            pass
    assert [span.attributes.get(names.EXEMPLAR) for span in recorded.take()] == [True, None, None]


def test_content_is_not_even_made_unless_it_is_captured(recorded):
    with mmtrace.model_call("private") as call:
        call.content(input=lambda: pytest.fail("content is off"))
    assert names.INPUT_CONTENT not in recorded.one().attributes


def test_content_is_captured_bounded_and_redacted_where_it_is_on():
    policy = ContentPolicy(on_spans=True, limit=30)

    def redact(key, value):
        return value.replace("secret", "***") if isinstance(value, str) else value

    with record_spans(content=policy, redact=redact) as spans:
        with mmtrace.model_call("open") as call:
            call.content(input=lambda: {"question": "secret"}, output="x" * 100)
        attributes = spans.one().attributes
    assert attributes[names.INPUT_CONTENT] == '{"question": "***"}'
    assert len(attributes[names.OUTPUT_CONTENT]) == 30


def test_redaction_reaches_exception_messages_and_the_status():
    def redact(key, value):
        return "***" if isinstance(value, str) and "4111" in value else value

    with record_spans(redact=redact) as spans:
        with pytest.raises(ValueError), mmtrace.span("payment"):
            raise ValueError("card 4111 refused")
        span = spans.one()
    assert span.events[0].attributes[names.EXCEPTION_MESSAGE] == "***"
    assert "4111" not in span.status_message
    assert not any("4111" in str(value) for value in span.events[0].attributes.values())


def test_a_broken_tracer_does_not_reach_the_caller(monkeypatch):
    class Broken(trace.NoOpTracer):
        def start_span(self, *args, **kwargs):
            raise RuntimeError("broken")

    from mmtrace.calls.telemetry import Telemetry

    monkeypatch.setattr(telemetry, "current", Telemetry(Broken()))

    @mmtrace.model("unlucky")
    def work(value):
        return value + 1

    assert work(1) == 2
    with mmtrace.model_call("unlucky") as call:
        call.set(batch_size=1)
    with mmtrace.span("unlucky") as span:
        span.set_attribute("a", 1)


def test_a_call_that_is_dropped_without_an_end_hurts_nobody(recorded):
    Call.start("forgotten")
    gc.collect()
    assert recorded.take() == []


def test_a_call_that_a_fork_copied_ends_only_where_it_was_started(recorded):
    call = ModelCall.of(Model("forked"))

    def child():
        call.end()
        assert recorded.take() == []
        assert count_of("forked") == 0

    in_child(child)
    call.end()
    assert recorded.one().name == "infer forked"
    assert count_of("forked") == 1
