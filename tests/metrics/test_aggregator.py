import itertools

import pytest

from mmtrace import attributes as names
from mmtrace.metrics import ModelMetrics


@pytest.fixture
def metrics():
    return ModelMetrics()


def test_a_call_is_counted_in_every_metric_that_it_gives_a_value_for(metrics, counted):
    series = metrics.series("reranker", "2026-10", "rerank", "torch")
    series.begin()
    series.end(
        "ok",
        "",
        0.5,
        queue=0.25,
        device=0.125,
        first_output=0.0625,
        per_output=0.03125,
        input_tokens=7,
        output_tokens=5,
        batch_size=8,
    )
    call = (("framework", "torch"), ("model", "reranker"), ("task", "rerank"), ("version", "2026-10"))
    assert counted(metrics) == {
        ("mmtrace.model.calls.active", call): 0,
        ("mmtrace.model.call.duration", tuple(sorted((*call, ("outcome", "ok"))))): (1, 0.5),
        ("mmtrace.model.call.queue.duration", call): (1, 0.25),
        ("mmtrace.model.call.device.duration", call): (1, 0.125),
        ("mmtrace.model.call.time_to_first_output", call): (1, 0.0625),
        ("mmtrace.model.call.time_per_output", call): (1, 0.03125),
        ("mmtrace.model.batch.size", call): (1, 8.0),
        ("mmtrace.model.tokens", tuple(sorted((*call, ("direction", "input"))))): 7,
        ("mmtrace.model.tokens", tuple(sorted((*call, ("direction", "output"))))): 5,
    }


def test_labels_without_a_value_are_left_out(metrics, counted):
    metrics.series("a").begin()
    assert counted(metrics) == {("mmtrace.model.calls.active", (("model", "a"),)): 1}


def test_the_same_labels_have_the_same_series(metrics):
    assert metrics.series("a", "1", "t", "f") is metrics.series("a", "1", "t", "f")
    assert metrics.series("a", "1", "t", "f") is not metrics.series("a", "2", "t", "f")


def test_outcomes_and_errors_are_told_apart(metrics, counted):
    series = metrics.series("a")
    for outcome, error in (("ok", ""), ("error", "ValueError"), ("error", "KeyError"), ("cancelled", ""), ("ok", "")):
        series.begin()
        series.end(outcome, error, 1.0)
    durations = {key: value for (name, key), value in counted(metrics).items() if name == names.CALL_DURATION.name}
    assert durations == {
        (("model", "a"), ("outcome", "ok")): (2, 2.0),
        (("error.type", "ValueError"), ("model", "a"), ("outcome", "error")): (1, 1.0),
        (("error.type", "KeyError"), ("model", "a"), ("outcome", "error")): (1, 1.0),
        (("model", "a"), ("outcome", "cancelled")): (1, 1.0),
    }


def test_a_bucket_takes_the_values_up_to_and_including_its_bound():
    metrics = ModelMetrics(time_buckets=(0.1, 1.0))
    for seconds in (0.05, 0.1, 0.10001, 1.0, 1.5, 2.0):
        metrics.pipeline("p", "ok", "", seconds)
    (reading,) = metrics.read()
    assert reading.counts == (2, 2, 2)


def test_batches_are_counted_apart_from_the_calls_that_they_serve(metrics, counted):
    metrics.series("a").batch(8)
    metrics.series("a").batch(4)
    assert counted(metrics) == {("mmtrace.model.batch.size", (("model", "a"),)): (2, 12.0)}


def test_pipelines_are_counted_by_name_outcome_and_error(metrics, counted):
    metrics.pipeline("invoice", "ok", "", 0.5)
    metrics.pipeline("invoice", "error", "ValueError", 0.25)
    metrics.pipeline("receipt", "ok", "", 2.0)
    assert counted(metrics) == {
        ("mmtrace.pipeline.duration", (("outcome", "ok"), ("pipeline", "invoice"))): (1, 0.5),
        (
            "mmtrace.pipeline.duration",
            (("error.type", "ValueError"), ("outcome", "error"), ("pipeline", "invoice")),
        ): (1, 0.25),
        ("mmtrace.pipeline.duration", (("outcome", "ok"), ("pipeline", "receipt"))): (1, 2.0),
    }


def test_models_beyond_the_limit_share_one_overflow_set(counted, total):
    metrics = ModelMetrics(limit=3)
    for number in range(10):
        series = metrics.series(f"model-{number}")
        series.begin()
        series.end("ok", "", 1.0, input_tokens=1)
    found = counted(metrics)
    overflow = ((names.METRIC_OVERFLOW, True),)
    assert found[names.CALL_DURATION.name, overflow] == (7, 7.0)
    assert total(metrics, names.CALL_DURATION) == total(metrics, names.MODEL_TOKENS) == 10
    assert total(metrics, names.CALLS_ACTIVE) == 0
    sets = [name for name, labels in found if labels != overflow]
    assert all(sets.count(name) <= 3 for name in sets)


def test_errors_without_end_fill_no_more_than_the_limit_and_lose_nothing(counted, total):
    metrics = ModelMetrics(limit=5)
    series = metrics.series("a")
    for number in range(100):
        series.begin()
        series.end("error", f"Error{number}", 1.0)
        metrics.pipeline("p", "error", f"Error{number}", 1.0)
    for metric in (names.CALL_DURATION, names.PIPELINE_DURATION):
        assert total(metrics, metric) == 100
        assert sum(name == metric.name for name, _ in counted(metrics)) == 6


def test_tokens_in_and_out_are_two_label_sets_of_the_limit(counted, total):
    metrics = ModelMetrics(limit=2)
    for model in ("a", "b"):
        series = metrics.series(model)
        series.begin()
        series.end("ok", "", 1.0, input_tokens=1, output_tokens=10)
    tokens = {labels: value for (name, labels), value in counted(metrics).items() if name == names.MODEL_TOKENS.name}
    assert len(tokens) == 3
    assert tokens[((names.METRIC_OVERFLOW, True),)] == 11


def test_numbers_of_other_libraries_are_counted_as_whole_numbers(metrics):
    numpy = pytest.importorskip("numpy")
    series = metrics.series("a")
    series.begin()
    series.end("ok", "", numpy.float32(0.5), input_tokens=numpy.int64(3), batch_size=numpy.int32(4))
    for reading in metrics.read():
        assert type(reading.value) is int
        assert type(reading.sum) is float


def test_what_was_read_stays_as_it_was(metrics):
    for _ in itertools.repeat(None, 2):
        metrics.pipeline("p", "ok", "", 1.0)
    before = metrics.read()
    metrics.pipeline("p", "ok", "", 1.0)
    assert [sum(reading.counts) for reading in before] == [2]
    assert [sum(reading.counts) for reading in metrics.read()] == [3]
