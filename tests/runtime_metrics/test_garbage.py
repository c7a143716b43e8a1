"""Collections of the interpreter's own collector, at any moment."""

import gc
import os
import subprocess
import sys
import textwrap
import time

import pytest
from opentelemetry.sdk.trace import TracerProvider

import mmtrace
from mmtrace import attributes as names
from mmtrace.runtime_metrics import garbage
from mmtrace.runtime_metrics.garbage import Garbage


class Slow:
    """What takes five milliseconds to be collected."""

    def __init__(self):
        self.me = self

    def __del__(self):
        time.sleep(0.005)


@pytest.fixture
def collecting():
    made = Garbage()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def collect_always():
    before = gc.get_threshold()
    gc.set_threshold(1)
    yield
    gc.set_threshold(*before)


def by_generation(points, label):
    return {str(point.attributes[label]): point for point in points}


def test_pauses_are_counted_by_generation(measured):
    gc.disable()
    before = {
        key: point.count for key, point in by_generation(measured().get("mmtrace.gc.pause", ()), "generation").items()
    }
    for generation in (0, 1, 2, 2):
        gc.collect(generation)
    gc.enable()
    after = by_generation(measured()["mmtrace.gc.pause"], "generation")
    assert {key: point.count - before.get(key, 0) for key, point in after.items()} == {"0": 1, "1": 1, "2": 2}
    assert all(point.sum > 0 for point in after.values())


def test_the_span_in_which_a_long_pause_fell_is_its_example_and_is_marked(collecting, recorded):
    Slow()
    with mmtrace.span("request"):
        gc.collect()
    span = recorded.one()
    (pause,) = [reading for reading in collecting.readings() if reading.line.attributes == {"generation": "2"}]
    (exemplar,) = pause.exemplars
    assert (exemplar.trace_id, exemplar.span_id) == (span.trace_id, span.span_id)
    assert exemplar.value >= 0.005
    assert span.attributes[names.EXEMPLAR] is True


def test_a_short_pause_marks_no_span(collecting, recorded):
    with mmtrace.span("request"):
        gc.collect(0)
    if recorded.one().attributes.get(names.EXEMPLAR):
        assert any(exemplar.value >= 0.001 for reading in collecting.readings() for exemplar in reading.exemplars)


def test_collections_inside_spans_of_the_stock_sdk_do_not_deadlock(collecting, collect_always, monkeypatch):
    monkeypatch.setattr(garbage, "_FELT", 0.0)
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("app")
    for _ in range(50):
        with tracer.start_as_current_span("stock") as span:
            for number in range(20):
                span.set_attribute("key", [number])
    assert sum(map(sum, (reading.counts for reading in collecting.readings()))) > 0


def test_collections_inside_every_step_of_our_own_spans_lose_none(collecting, collect_always, monkeypatch, recorded):
    monkeypatch.setattr(garbage, "_FELT", 0.0)
    for _ in range(50):
        with mmtrace.model_call("ocr") as call:
            call.set(output_tokens=1, input_shapes=[(1, 2)])
    assert len(recorded.take()) == 50


def test_starting_twice_counts_once_and_stopping_leaves_nothing(collecting):
    collecting.start()
    assert gc.callbacks.count(collecting._on_collection) == 1
    collecting.stop()
    assert collecting._on_collection not in gc.callbacks


def test_what_the_interpreter_counts_is_told_by_its_standard_names(measured):
    before = measured()["cpython.gc.collections"]
    gc.collect()
    after = by_generation(measured()["cpython.gc.collections"], names.CPYTHON_GC_GENERATION)
    assert after["2"].value > by_generation(before, names.CPYTHON_GC_GENERATION)["2"].value
    assert {"cpython.gc.collected_objects", "cpython.gc.uncollectable_objects"} <= measured().keys()


def test_a_forked_child_counts_from_zero():
    program = """
        import gc, os
        from mmtrace.runtime_metrics.measuring import runtime_metrics
        gc.disable()
        runtime_metrics.start()
        for _ in range(40):
            gc.collect()
        def total(name):
            metrics = {metric.name: metric.data.data_points for metric in runtime_metrics.collect()}
            return sum(getattr(point, "count", None) or point.value for point in metrics.get(name, ()))
        if os.fork() == 0:
            assert total("cpython.gc.collections") == total("mmtrace.gc.pause") == 0
            gc.collect()
            assert total("cpython.gc.collections") == total("mmtrace.gc.pause") == 1
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
        assert total("mmtrace.gc.pause") == 40
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=300, env={**os.environ})
