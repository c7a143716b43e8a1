import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mmtrace import attributes as names
from mmtrace.metrics import ModelMetrics


@pytest.fixture(autouse=True)
def switch_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def metrics():
    return ModelMetrics()


def run_threads(number, target):
    threads = [threading.Thread(target=target, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_eight_threads_lose_no_call(metrics, total, counted):
    series = metrics.series("a")

    def run(index):
        for number in range(2000):
            series.begin()
            series.end("ok", "", 0.5, trace_id=1, span_id=1, input_tokens=1, output_tokens=2, batch_size=4, queue=0.25)
            if number % 100 == 0:
                metrics.series(f"model-{index}-{number}").begin()
                metrics.pipeline("p", "ok", "", 0.5)

    run_threads(8, run)
    call = (("model", "a"),)
    found = counted(metrics)
    assert found[names.CALL_DURATION.name, (*call, ("outcome", "ok"))] == (16000, 8000.0)
    assert found[names.CALL_QUEUE_DURATION.name, call] == (16000, 4000.0)
    assert found[names.MODEL_BATCH_SIZE.name, call] == (16000, 64000.0)
    assert total(metrics, names.MODEL_TOKENS) == 48000
    assert total(metrics, names.PIPELINE_DURATION) == total(metrics, names.CALLS_ACTIVE) == 160


def test_what_a_reader_sees_never_goes_back(metrics, total):
    series = metrics.series("a")
    stop = threading.Event()
    seen = []

    def read():
        while not stop.is_set():
            seen.append(total(metrics, names.CALL_DURATION))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(40):
        run_threads(4, lambda _: [series.end("ok", "", 0.1) for _ in range(50)])
    stop.set()
    reader.join()
    assert seen == sorted(seen)
    assert total(metrics, names.CALL_DURATION) == 40 * 4 * 50


def test_a_call_may_begin_in_one_thread_and_end_in_another(metrics, total):
    series = metrics.series("a")
    for _ in range(5):
        series.begin()
    run_threads(3, lambda _: series.end("ok", "", 1.0))
    assert total(metrics, names.CALLS_ACTIVE) == 2


def test_calls_of_threads_that_are_gone_are_counted_once(metrics, total):
    series = metrics.series("a")
    for expected in range(1, 51):
        run_threads(1, lambda _: series.end("ok", "", 1.0))
        assert total(metrics, names.CALL_DURATION) == expected


def test_a_new_thread_for_every_call_takes_no_more_memory_than_one(metrics):
    series = metrics.series("a")
    for _ in range(200):
        run_threads(1, lambda _: series.end("ok", "", 1.0, batch_size=1))
    cells = len(metrics._cells)
    assert cells == 3, "active, duration, batch size: the shard of a dead thread is passed on"


def test_a_pool_of_threads_that_ends_and_starts_again_loses_nothing(metrics, total):
    series = metrics.series("a")
    for _ in range(20):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: series.end("ok", "", 1.0), range(100)))
    assert total(metrics, names.CALL_DURATION) == 2000


def test_label_sets_stay_within_the_limit_when_threads_race_for_the_last_one(counted, total):
    metrics = ModelMetrics(limit=10)
    barrier = threading.Barrier(8)

    def run(index):
        barrier.wait()
        for number in range(50):
            series = metrics.series(f"model-{index}-{number}")
            series.begin()
            series.end("ok", "", 1.0)

    run_threads(8, run)
    assert total(metrics, names.CALL_DURATION) == 400
    assert sum(name == names.CALL_DURATION.name for name, _ in counted(metrics)) <= 11
