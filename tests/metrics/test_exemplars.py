import threading

import pytest

from mmtrace import attributes as names
from mmtrace.metrics import ModelMetrics


@pytest.fixture
def metrics(clock):
    return ModelMetrics(clock=clock)


@pytest.fixture
def call(metrics):
    def end(seconds=0.2, outcome="ok", error="", trace=1, model="a", **more):
        series = metrics.series(model)
        series.begin()
        return series.end(outcome, error, seconds, trace_id=trace, span_id=trace and 2, **more)

    return end


@pytest.fixture
def exemplars(metrics):
    def of(metric=names.CALL_DURATION):
        return [
            (exemplar.trace_id, exemplar.value)
            for reading in metrics.read()
            if reading.line.metric is metric
            for exemplar in reading.exemplars
        ]

    return of


def test_the_first_sampled_call_of_a_bucket_is_its_exemplar(call, exemplars):
    assert call(0.2, trace=11) is True
    assert call(0.21, trace=12) is False
    assert exemplars() == [(11, 0.2)]


def test_calls_that_sampling_left_out_are_no_exemplars(call, exemplars):
    assert call(trace=0) is False
    assert exemplars() == []


def test_an_exemplar_is_not_replaced_within_fifteen_seconds(call, exemplars, clock):
    call(trace=11)
    clock.now += 14.999
    assert call(trace=12) is False
    assert exemplars() == [(11, 0.2)]
    clock.now += 0.001
    assert call(trace=13) is True
    assert call(trace=14) is False
    assert exemplars() == [(13, 0.2)]


def test_every_bucket_has_its_own_exemplar(call, exemplars):
    assert [call(seconds, trace=number) for number, seconds in enumerate((0.002, 0.2, 20.0, 2000.0), 1)] == [True] * 4
    assert exemplars() == [(1, 0.002), (2, 0.2), (3, 20.0), (4, 2000.0)]


def test_every_series_has_its_own_exemplars(call):
    assert call(outcome="ok") is True
    assert call(outcome="error", error="ValueError") is True
    assert call(outcome="error", error="KeyError") is True
    assert call(model="b") is True
    assert call(outcome="ok") is False


def test_a_call_is_an_exemplar_if_any_of_its_histograms_takes_it(call, exemplars):
    assert call(queue=0.001, trace=1) is True
    assert call(queue=5.0, trace=2) is True
    assert call(queue=5.0, trace=3) is False
    assert exemplars() == [(1, 0.2)]
    assert exemplars(names.CALL_QUEUE_DURATION) == [(1, 0.001), (2, 5.0)]


def test_a_sampled_pipeline_can_be_an_exemplar(metrics, exemplars):
    assert metrics.pipeline("p", "ok", "", 0.2, trace_id=1, span_id=2) is True
    assert metrics.pipeline("p", "ok", "", 0.2, trace_id=3, span_id=4) is False
    assert metrics.pipeline("p", "ok", "", 0.2) is False
    assert exemplars(names.PIPELINE_DURATION) == [(1, 0.2)]


def test_of_many_threads_that_end_a_call_at_once_one_has_the_exemplar(metrics, clock):
    series = metrics.series("a")
    barrier = threading.Barrier(8)
    won = []

    def run(trace):
        for round_ in range(200):
            barrier.wait()
            if series.end("ok", "", 0.2, trace_id=trace, span_id=1):
                won.append(round_)
            barrier.wait()
            if trace == 1:
                clock.now += 15.0
            barrier.wait()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == list(range(200))
