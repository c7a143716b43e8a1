"""On the real runtime and small real models."""

import asyncio
import concurrent.futures
import contextvars
import gc
import threading

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from opentelemetry.trace import StatusCode, get_current_span

import mmtrace
from mmtrace import attributes as names
from mmtrace.calls import telemetry
from mmtrace.calls.telemetry import ContentPolicy
from mmtrace.testing import InstrumentationCases, instrumented, record_spans
from mmtrace_instrumentation import onnxruntime as instrumenting

ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)
RESULT = (ROWS @ np.arange(8, dtype=np.float32).reshape(4, 2)).tolist()


def model_bytes(version=None):
    weights = helper.make_tensor("w", TensorProto.FLOAT, [4, 2], list(range(8)))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 4])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 2])]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "tiny", inputs, outputs, [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    if version is not None:
        model.model_version = version
    return model.SerializeToString()


def load(source=None):
    return onnxruntime.InferenceSession(source or model_bytes(), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def session():
    return load()


@pytest.fixture
def traced(recorded):
    with instrumented(instrumenting.instrumentation):
        yield recorded


def calls():
    return sum(
        sum(reading.counts) for reading in telemetry.metrics.read() if reading.line.metric is names.CALL_DURATION
    )


def values(result):
    return [np.asarray(output).tolist() for output in result]


def run(session):
    return values(session.run(None, {"x": ROWS}))


def run_by_name(session):
    return values(session.run(output_names=["y"], input_feed={"x": ROWS}))


def run_async(session):
    return values(ran_async(session, {"x": ROWS})[0])


def run_async_by_name(session):
    done, answers = threading.Event(), []

    def callback(*given):
        answers.append(given)
        done.set()

    session.run_async(output_names=["y"], input_feed={"x": ROWS}, callback=callback, user_data=None)
    assert done.wait(10)
    return values(answers[0][0])


def run_with_binding(session):
    binding = session.io_binding()
    binding.bind_cpu_input("x", ROWS)
    binding.bind_output("y")
    session.run_with_iobinding(binding)
    return values(binding.copy_outputs_to_cpu())


def run_with_ort_values(session):
    given = {"x": onnxruntime.OrtValue.ortvalue_from_numpy(ROWS)}
    return values(output.numpy() for output in session.run_with_ort_values(["y"], given))


def run_with_vector(session):
    c = onnxruntime.capi.onnxruntime_pybind11_state
    feeds, fetches = c.OrtValueVector(), c.OrtValueVector()
    feeds.push_back(onnxruntime.OrtValue.ortvalue_from_numpy(ROWS)._get_c_value())
    cpu = onnxruntime.OrtDevice.make("cpu", 0)._get_c_device()
    session.run_with_ortvaluevector(onnxruntime.RunOptions(), ["x"], feeds, ["y"], fetches, [cpu])
    return values(output.numpy() for output in fetches)


def ran_async(session, feed, user_data=None, seen=None):
    done, answers = threading.Event(), []

    def callback(results, given, error):
        answers.append((results, given, error))
        if seen is not None:
            seen()
        done.set()

    session.run_async(None, feed, callback, user_data)
    assert done.wait(10)
    return answers[0]


WAYS = [run, run_by_name, run_async, run_async_by_name, run_with_binding, run_with_ort_values, run_with_vector]


class TestKit(InstrumentationCases):
    instrumentation = instrumenting.instrumentation

    def use(self):
        session = load()
        return [way(session) for way in WAYS]

    def misuse(self):
        load().run(None, {"x": ROWS[:, :3]})


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_run_a_session_is_one_call_of_the_model(traced, eventually, session, way):
    assert way(session) == [RESULT]
    eventually(lambda: traced.unclaimed)
    span = traced.one()
    assert span.name == "infer tiny"
    assert span.attributes[names.MODEL_FRAMEWORK] == "onnxruntime"
    assert span.attributes[names.MODEL_DEVICE] == "cpu"
    assert span.attributes[names.OUTCOME] == "ok"
    assert calls() == 1
    if way is run_with_binding:
        assert names.INPUT_SHAPES not in span.attributes, "a binding hides what is bound"
    else:
        assert span.attributes[names.INPUT_SHAPES] == ("3x4",)
        assert span.attributes[names.BATCH_SIZE] == 3


def test_the_element_types_and_sizes_of_arrays_are_recorded_and_never_their_values(traced, session):
    session.run(None, {"x": ROWS})
    attributes = traced.one().attributes
    assert attributes[names.INPUT_DTYPES] == ("float32",)
    assert attributes[names.INPUT_BYTES] == 48
    assert names.INPUT_CONTENT not in attributes


def test_the_values_are_recorded_only_when_they_are_asked_for(session):
    with record_spans(content=ContentPolicy(on_spans=True)) as recorded, instrumented(instrumenting.instrumentation):
        session.run(None, {"x": ROWS})
        attributes = recorded.one().attributes
    assert "11." in attributes[names.INPUT_CONTENT]
    assert "76." in attributes[names.OUTPUT_CONTENT]


def test_a_model_is_named_after_its_file(traced, tmp_path):
    path = tmp_path / "digit-checker.onnx"
    path.write_bytes(model_bytes(version=3))
    load(path).run(None, {"x": ROWS})
    span = traced.one()
    assert (span.name, span.attributes[names.MODEL_VERSION]) == ("infer digit-checker", "3")


@pytest.mark.parametrize("version", [None, 0])
def test_a_version_that_nobody_gave_is_none(traced, version):
    load(model_bytes(version)).run(None, {"x": ROWS})
    assert names.MODEL_VERSION not in traced.one().attributes


def test_an_error_is_recorded_and_reaches_the_caller_as_it_is(traced, session):
    with pytest.raises(Exception, match="Got: 3 Expected: 4"):
        session.run(None, {"x": ROWS[:, :3]})
    span = traced.one()
    assert span.status is StatusCode.ERROR
    assert span.attributes[names.ERROR_TYPE].endswith("InvalidArgument")


def test_an_error_that_a_callback_is_told_is_recorded(traced, eventually, session):
    results, _, error = ran_async(session, {"x": ROWS[:, :3]})
    eventually(lambda: traced.unclaimed)
    span = traced.one()
    assert results == []
    assert span.status is StatusCode.ERROR
    assert span.status_message == error


def test_a_callback_gets_what_it_ever_got_in_the_context_of_the_caller(traced, eventually, session):
    variable = contextvars.ContextVar("variable", default="empty")
    seen, mine = [], object()
    with mmtrace.span("request") as request:
        variable.set("mine")
        _, user_data, _ = ran_async(
            session, {"x": ROWS}, mine, lambda: seen.append((variable.get(), get_current_span().get_span_context()))
        )
    assert user_data is mine
    assert seen == [("mine", request.get_span_context())]
    eventually(lambda: len(traced.unclaimed) == 2)
    trace = traced.trace()
    assert [span.name for span in trace.children(trace.root)] == ["infer tiny"]


def test_a_call_lasts_until_its_callback(traced, eventually, session):
    ended = []
    ran_async(session, {"x": ROWS}, seen=lambda: ended.append([span.name for span in traced.unclaimed]))
    assert ended == [["infer tiny"]]
    traced.take()


def test_a_call_that_is_refused_at_once_has_ended(traced, session):
    with pytest.raises(ValueError, match="missing"):
        session.run_async(None, {}, print, None)
    assert traced.one().attributes[names.OUTCOME] == "error"
    with pytest.raises(TypeError):
        session.run_async(None, {"x": ROWS})
    assert traced.one().attributes[names.OUTCOME] == "error"


async def test_calls_that_run_at_once_each_have_their_own_parent(traced, session):
    loop = asyncio.get_running_loop()

    async def request(number):
        future = loop.create_future()

        def callback(results, user_data, error):
            loop.call_soon_threadsafe(future.set_result, results)

        with mmtrace.span(f"request {number}"):
            session.run_async(None, {"x": ROWS}, callback, None)
            await future

    await asyncio.gather(*(request(number) for number in range(8)))
    spans = {span.span_id: span for span in traced.take()}
    parents = [spans[span.parent_span_id].name for span in spans.values() if span.name == "infer tiny"]
    assert sorted(parents) == [f"request {number}" for number in range(8)]


def test_a_session_can_be_collected(traced):
    session = load()
    session.run(None, {"x": ROWS})
    traced.take()
    remembered = len(instrumenting._loaded._made)
    del session
    gc.collect()
    assert len(instrumenting._loaded._made) == remembered - 1


def test_threads_share_a_session(traced, session):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: run(session), range(20)))
    assert results == [[RESULT]] * 20
    assert len(traced.take()) == 20
    assert calls() == 20


def test_a_session_inside_a_call_of_the_users_own_naming_counts_for_that_one(traced, session):
    with mmtrace.model_call("checker"):
        session.run(None, {"x": ROWS})
    inner, outer = traced.take()
    assert (inner.name, inner.parent_span_id) == ("infer tiny", outer.span_id)
    assert calls() == 1


def test_a_model_is_a_file_of_onnx():
    onnx.checker.check_model(onnx.load_from_string(model_bytes()))
