import asyncio
import functools
import inspect
import multiprocessing
import pickle
import pkgutil
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest
from opentelemetry import baggage, trace

import mmtrace
from mmtrace import attributes as names
from mmtrace.calls import telemetry
from mmtrace.testing import record_spans
from services import decorated


@pytest.fixture
def tolerant():
    """Spans in memory, where faults are reported as they are to a user."""
    with record_spans(strict=False) as spans:
        yield spans


def test_the_public_surface_is_this_list():
    assert sorted(mmtrace.__all__) == dir(mmtrace)
    for name in mmtrace.__all__:
        assert getattr(mmtrace, name) is not None
    assert {*mmtrace.__all__} >= {
        *("configure", "instrument", "model", "model_call", "pipeline", "stage", "span", "inject", "attach", "keep"),
        *("enqueue", "batch", "flush", "aflush", "shutdown", "ashutdown"),
    }


def test_no_subpackage_takes_the_name_of_a_verb():
    packages = {module.name for module in pkgutil.iter_modules(mmtrace.__path__)}
    assert packages.isdisjoint(mmtrace.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="modle"):
        mmtrace.modle


def test_a_decorated_function_keeps_its_signature_name_and_docstring():
    assert str(inspect.signature(decorated.add)) == "(first: int, second: int = 2) -> int"
    assert decorated.add.__name__ == "add"
    assert decorated.add.__doc__ == "Add two numbers."
    assert inspect.iscoroutinefunction(decorated.add_later)


@pytest.mark.parametrize("name", ["add", "add_later", "count", "count_later"])
def test_a_decorated_function_pickles(name):
    function = getattr(decorated, name)
    assert pickle.loads(pickle.dumps(function)) is function


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_decorated_function_runs_in_a_process_pool(method):
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        assert pool.submit(decorated.add, 1, second=4).result() == 5


def test_class_methods_and_static_methods_are_decorated_from_above_too(recorded):
    assert decorated.Classifier.by_class(1) == ("Classifier", 1)
    assert decorated.Classifier().by_class(1) == ("Classifier", 1)
    assert list(decorated.Classifier().static(3)) == [0, 1, 2]
    assert [span.name for span in recorded.take()] == ["infer by-class", "infer by-class", "infer static"]


async def test_a_partial_function_stays_one_of_its_kind(recorded):
    add = mmtrace.model("partial")(functools.partial(decorated.add.__wrapped__, 1))
    add_later = mmtrace.model("partial")(functools.partial(decorated.add_later.__wrapped__, 1))
    count = mmtrace.model("partial")(functools.partial(decorated.count._function, 2))
    assert inspect.iscoroutinefunction(add_later)
    assert inspect.isgeneratorfunction(count)
    assert (add(), await add_later(second=4), list(count())) == (3, 5, [0, 1])
    assert [span.attributes.get(names.OUTPUT_COUNT) for span in recorded.take()] == [None, None, 2]


async def test_an_object_is_decorated_as_its_call_is(recorded):
    classify = mmtrace.model("object")(decorated.Classifier())
    read = mmtrace.model("object")(decorated.Reader(1))
    assert inspect.iscoroutinefunction(classify)
    assert inspect.isgeneratorfunction(read)
    assert read.first == 1
    started = classify(5)
    assert recorded.take() == []
    assert await started == 5
    assert list(read(3)) == [1, 2]
    assert [span.attributes.get(names.OUTPUT_COUNT) for span in recorded.take()] == [None, 2]


@pytest.mark.parametrize("verb", ["model", "pipeline", "stage", "span"])
def test_a_decorator_without_a_name_is_refused_where_it_stands(verb):
    with pytest.raises(TypeError, match=rf'a name is missing: write @mmtrace\.{verb}\("noop"\)'):

        @getattr(mmtrace, verb)
        def noop(): ...


def test_what_cannot_be_called_cannot_be_decorated():
    with pytest.raises(TypeError, match="a property cannot be traced: decorate the function itself, below it"):
        mmtrace.model("odd")(property(len))


class Sulky:
    """Answers no question about itself."""

    def __hash__(self):
        raise RuntimeError("no hash")

    def __eq__(self, other):
        raise RuntimeError("no comparison")

    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


WRONG = [None, 5, b"x", [], {}, True, Path("m.onnx"), Sulky()]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: type(wrong).__name__)
def test_a_verb_takes_whatever_it_is_given(tolerant, wrong):
    odd = [
        mmtrace.model_call(wrong, version=wrong, task=wrong, framework=wrong, batch_size=wrong),
        mmtrace.model_call("m", task=wrong),
        mmtrace.pipeline(wrong),
        mmtrace.stage(wrong),
        mmtrace.span(wrong, attributes=wrong, links=wrong),
        mmtrace.batch(wrong, wrong, version=wrong, task=wrong, framework=wrong),
        mmtrace.batch("m", [wrong]),
        mmtrace.attach(wrong),
    ]
    for block in odd:
        with block:
            pass
    assert mmtrace.model(wrong)(lambda: 7)() == 7
    mmtrace.inject(wrong)
    with mmtrace.span("times") as span:
        span.add_event("odd", timestamp=wrong)
        span.end(wrong)
    tolerant.take()


async def test_a_decorated_coroutine_is_a_call(recorded):
    assert await decorated.add_later(1, 2) == 3
    assert recorded.one().name == "infer adder"


async def test_a_coroutine_cut_by_a_timeout_is_cancelled(recorded):
    @mmtrace.model("sleeper")
    async def sleep():
        await asyncio.sleep(10)

    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(sleep(), 0.01)
    assert recorded.one().attributes[names.OUTCOME] == "cancelled"


def test_a_pipeline_and_its_stages_nest_and_are_measured(recorded):
    @mmtrace.stage("postprocess")
    def postprocess():
        return 1

    @mmtrace.pipeline("invoice")
    def run():
        with mmtrace.model_call("ocr", task="ocr"):
            pass
        return postprocess()

    assert run() == 1
    ocr, stage, pipeline = recorded.take()
    assert (ocr.name, stage.name, pipeline.name) == ("ocr ocr", "stage postprocess", "pipeline invoice")
    assert {ocr.parent_span_id, stage.parent_span_id} == {pipeline.span_id}
    (reading,) = [reading for reading in telemetry.metrics.read() if reading.line.metric is names.PIPELINE_DURATION]
    assert reading.line.attributes["pipeline"] == "invoice"


def test_a_span_takes_attributes_with_dots_and_without(recorded):
    with mmtrace.span("parse", attributes={"pdf.pages": 3}, language="de") as span:
        assert span.is_recording()
    assert dict(recorded.one().attributes) == {"pdf.pages": 3, "language": "de"}


@pytest.mark.parametrize("carrier", [{}, [], b"payload"], ids=["mapping", "pairs", "envelope"])
def test_context_crosses_by_inject_and_attach(recorded, carrier):
    with mmtrace.span("sender") as sender:
        carried = mmtrace.inject(carrier)
    with mmtrace.attach(carried), mmtrace.span("receiver"):
        pass
    receiver = recorded.named("receiver")
    assert receiver.trace_id == sender.get_span_context().trace_id
    assert receiver.parent_span_id == sender.get_span_context().span_id
    recorded.take()


@pytest.mark.parametrize("carrier", [{"traceparent": "nonsense"}, b"\x00\xff", {}, [("traceparent", "00-0-0-0")]])
def test_a_broken_carrier_starts_a_new_trace(recorded, carrier):
    with mmtrace.attach(carrier), mmtrace.span("receiver"):
        pass
    assert recorded.one().parent_span_id is None


def test_keep_marks_the_span_and_tells_who_follows(recorded):
    with mmtrace.span("odd"):
        mmtrace.keep()
        carrier = mmtrace.inject({})
    assert recorded.one().attributes[names.KEEP] is True
    with mmtrace.attach(carrier):
        assert baggage.get_baggage(names.KEEP) == "true"
    assert baggage.get_baggage(names.KEEP) is None


def test_context_does_not_leak_between_threads(recorded):
    seen = []

    def look():
        seen.append(trace.get_current_span().is_recording())

    with mmtrace.span("outer"):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert seen == [False]
    recorded.take()


def test_calls_from_many_threads_are_all_recorded_and_counted(recorded):
    def work(number):
        with mmtrace.model_call("busy"):
            return number

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(400))) == sum(range(400))
    assert len(recorded.take()) == 400
    counted = [reading for reading in telemetry.metrics.read() if reading.line.metric is names.CALL_DURATION]
    assert sum(sum(reading.counts) for reading in counted) == 400
