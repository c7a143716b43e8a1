"""A finalizer ends an abandoned call wherever Python happens to collect garbage, also inside an update of ours."""

import gc
import sys
import threading

import pytest

import mmtrace.metrics.aggregator
import mmtrace.metrics.cells
import mmtrace.metrics.shards
from mmtrace import attributes as names
from mmtrace.metrics import ModelMetrics

OURS = {module.__file__ for module in (mmtrace.metrics.aggregator, mmtrace.metrics.cells, mmtrace.metrics.shards)}


class Abandoned:
    """A call that a cycle keeps until the garbage collector ends it."""

    ended = 0

    def __init__(self, end):
        self.end = end
        self.me = self

    def __del__(self):
        Abandoned.ended += 1
        self.end()


@pytest.fixture(autouse=True)
def collect_always():
    before = gc.get_threshold()
    Abandoned.ended = 0
    yield
    gc.set_threshold(*before)


def everything(metrics):
    """Every update there is, each on a series of few calls, so that first uses are among them."""
    for number in range(12):
        series = metrics.series(f"model-{number % 6}")
        series.begin()
        series.end("error", f"E{number % 4}", 0.25, trace_id=1, span_id=1, input_tokens=1, batch_size=1, queue=0.1)
        series.end("ok", "", 0.25, output_tokens=1, device=0.1, first_output=0.1, per_output=0.1)
        series.batch(2)
        metrics.pipeline(f"p{number % 3}", "ok", "", 1.0, trace_id=1, span_id=1)


def check(metrics, total, rounds, ended):
    assert ended > 0
    seconds = sum(reading.sum for reading in metrics.read() if reading.line.metric is names.CALL_DURATION)
    assert seconds == (rounds * 24 + ended) * 0.25
    assert total(metrics, names.CALL_DURATION) == rounds * 24 + ended
    assert total(metrics, names.CALLS_ACTIVE) == -(rounds * 12 + ended)
    assert total(metrics, names.MODEL_TOKENS) == rounds * 24 + ended
    assert total(metrics, names.MODEL_BATCH_SIZE) == rounds * 24 + ended
    assert total(metrics, names.CALL_QUEUE_DURATION) == rounds * 12 + ended
    assert total(metrics, names.PIPELINE_DURATION) == rounds * 12 + ended


def finish(metrics, number):
    series = metrics.series(f"model-{number % 7}")
    series.end("error", f"E{number % 5}", 0.25, trace_id=2, span_id=2, output_tokens=1, batch_size=1, queue=0.1)
    metrics.pipeline(f"p{number % 3}", "ok", "", 1.0)


@pytest.fixture
def finalized_at_every_line():
    """Run `function` with a collection that runs `end` before each of its lines in our modules."""

    def run(function, end, files=OURS):
        def at_every_line(frame, event, argument):
            if frame.f_code.co_filename not in files:
                return None
            sys.settrace(None)
            Abandoned(end)
            gc.collect(0)
            sys.settrace(at_every_line)
            return at_every_line

        sys.settrace(at_every_line)
        try:
            function()
        finally:
            sys.settrace(None)

    return run


def test_calls_that_are_ended_at_every_line_of_an_update_are_all_counted(total, finalized_at_every_line):
    metrics = ModelMetrics(limit=5)
    finalized_at_every_line(lambda: everything(metrics), lambda: finish(metrics, Abandoned.ended))
    check(metrics, total, 1, Abandoned.ended)


def test_a_shard_in_use_is_never_given_to_another_thread(total, finalized_at_every_line):
    metrics = ModelMetrics()
    series = metrics.series("a")
    in_use_and_free = []

    def end():
        series.end("ok", "", 1.0)
        in_use_and_free.extend(shard for shard in series._free if shard is series._local.shard)

    for _ in range(3):
        thread = threading.Thread(
            target=finalized_at_every_line, args=(series.begin, end, {mmtrace.metrics.shards.__file__})
        )
        thread.start()
        thread.join()
    assert in_use_and_free == []
    assert total(metrics, names.CALLS_ACTIVE) == 3 - Abandoned.ended


@pytest.mark.parametrize("limit", [3, 2000])
def test_calls_that_are_ended_at_every_allocation_are_all_counted(total, limit):
    metrics = ModelMetrics(limit=limit)
    gc.set_threshold(1)
    for round_ in range(100):
        for number in range(3):
            Abandoned(lambda number=number + round_: finish(metrics, number))
        everything(metrics)
    gc.set_threshold(0)
    gc.collect()
    check(metrics, total, 100, Abandoned.ended)


def test_a_finalizer_may_read_while_others_write(total):
    metrics = ModelMetrics()
    seen = []
    gc.set_threshold(1)
    for _ in range(50):
        Abandoned(lambda: seen.append(total(metrics, names.CALL_DURATION)))
        everything(metrics)
    gc.set_threshold(0)
    gc.collect()
    assert seen == sorted(seen)
    assert len(seen) == 50
    assert total(metrics, names.CALL_DURATION) == 50 * 24
