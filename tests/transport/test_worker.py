"""The thread: when it starts, when it sends, that it misses nothing, and that it goes."""

import gc
import random
import threading
import time
import weakref

import pytest
from opentelemetry import context

from mmtrace.transport import ACCEPTED, Pipeline, Signal

NAME = "mmtrace-transport"


def threads():
    return [thread for thread in threading.enumerate() if thread.name == NAME]


def test_no_thread_before_the_first_item(pipeline, eventually):
    made = pipeline()
    made.every(60, lambda: None)
    assert threads() == []
    made.add(Signal.TRACES, None, b"x")
    eventually(lambda: len(threads()) == 1)
    assert threads()[0].daemon


def test_a_refused_item_starts_no_thread(pipeline):
    made = pipeline(max_queue_bytes=1)
    made.add(Signal.TRACES, None, b"xx")
    time.sleep(0.05)
    assert threads() == []


def test_many_first_items_at_once_start_one_thread(pipeline, eventually):
    made = pipeline(schedule_delay=0.05)
    barrier = threading.Barrier(8)

    def first():
        barrier.wait()
        made.add(Signal.TRACES, None, b"x")

    starters = [threading.Thread(target=first) for _ in range(8)]
    for each in starters:
        each.start()
    for each in starters:
        each.join()
    eventually(lambda: made.health.exported == 8)
    assert len(threads()) == 1


def test_items_leave_after_the_schedule_delay(pipeline, shelf, eventually):
    made = pipeline(schedule_delay=0.5)
    begin = time.monotonic()
    made.add(Signal.TRACES, None, b"a")
    made.add(Signal.TRACES, None, b"b")
    eventually(lambda: shelf.bodies == [b"ab"])
    assert 0.5 <= shelf.seen[0][0] - begin < 5.0


def test_a_second_item_waits_no_longer_than_the_first(pipeline, shelf, eventually):
    made = pipeline(schedule_delay=0.1)
    for _ in range(3):
        begin = time.monotonic()
        made.add(Signal.TRACES, None, b"x")
        eventually(lambda: made.health.queue_spans == 0)
        assert 0.1 <= shelf.seen[-1][0] - begin < 5.0


def test_a_full_batch_leaves_at_once(pipeline, shelf, eventually):
    made = pipeline(schedule_delay=60, max_batch_items=10)
    for _ in range(10):
        made.add(Signal.TRACES, None, b"x")
    eventually(lambda: shelf.counts == [10])


def test_a_batch_that_is_full_in_bytes_leaves_at_once(pipeline, shelf, eventually):
    made = pipeline(schedule_delay=60, max_batch_bytes=100)
    made.add(Signal.TRACES, None, b"x" * 40)
    time.sleep(0.05)
    made.add(Signal.TRACES, None, b"x" * 60)
    eventually(lambda: shelf.counts == [2])


def test_hurry_sends_what_waits_without_waiting_for_it(pipeline, shelf, eventually):
    made = pipeline(schedule_delay=60)
    made.add(Signal.TRACES, None, b"x")
    eventually(threads)
    made.hurry()
    eventually(lambda: shelf.counts == [1])


def test_an_item_that_comes_while_a_batch_is_sent_is_not_forgotten(pipeline, shelf, eventually):
    made = pipeline(schedule_delay=0.01, max_batch_items=2)
    shelf.open.clear()
    made.add(Signal.TRACES, None, b"1")
    assert shelf.busy.wait(60)
    for letter in (b"2", b"3"):
        made.add(Signal.TRACES, None, letter)
    shelf.open.set()
    eventually(lambda: made.health.exported == 3)


def test_no_wake_up_is_lost(pipeline, eventually):
    made = pipeline(schedule_delay=0.001, max_batch_items=3)
    rng = random.Random(1)

    def produce():
        for _ in range(400):
            made.add(Signal.TRACES, None, b"x")
            time.sleep(rng.random() * 0.002)

    producers = [threading.Thread(target=produce) for _ in range(3)]
    for each in producers:
        each.start()
    for each in producers:
        each.join()
    eventually(lambda: made.health.exported == 1200)


def test_an_idle_thread_sleeps_until_it_is_woken(pipeline, shelf, eventually):
    made, turns = pipeline(schedule_delay=0.01), []
    made.add(Signal.TRACES, None, b"x")
    eventually(lambda: made.health.exported == 1)
    made._schedule.send_due = lambda **_: turns.append(1)

    def sleeps():
        before = len(turns)
        time.sleep(0.2)
        return len(turns) == before

    eventually(sleeps)


def test_callbacks_run_as_often_as_they_ask_for(pipeline, shelf, eventually):
    made = pipeline(schedule_delay=0.0)
    made.every(0.05, lambda: made.add(Signal.METRICS, None, b"m"))
    made.start()
    eventually(lambda: len(shelf.kept) >= 3)
    moments = [moment for moment, _, _ in shelf.seen[:3]]
    assert 0.08 < moments[2] - moments[0] < 5.0


def test_callbacks_run_once_more_in_a_flush_and_in_a_shutdown(pipeline, shelf):
    made = pipeline()
    made.every(60, lambda: made.add(Signal.METRICS, None, b"m"))
    made.flush(60)
    assert shelf.bodies == [b"m"]
    made.shutdown(5)
    assert shelf.bodies == [b"m", b"m"]


def test_our_own_requests_are_never_traced(pipeline, shelf, eventually):
    seen = []

    def export(signal, body, count, timeout):
        seen.append(context.get_value(context._SUPPRESS_INSTRUMENTATION_KEY))
        return ACCEPTED

    shelf.export = export
    made = pipeline(schedule_delay=0.0)
    made.add(Signal.TRACES, None, b"x")
    eventually(lambda: seen == [True])


def test_a_finalizer_may_add_at_any_moment(pipeline, shelf):
    """Garbage ends streams inside any allocation, also inside `add` itself, in the same thread."""
    made = pipeline(schedule_delay=0.001, max_batch_items=50)
    threshold = gc.get_threshold()

    class Stream:
        def __init__(self):
            self.itself = self

        def __del__(self):
            made.add(Signal.TRACES, None, b"from a finalizer")

    gc.set_threshold(1)
    try:
        for _ in range(2_000):
            Stream()
            made.add(Signal.TRACES, None, b"x")
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert made.flush(60).waiting == 0
    assert made.health.started == made.health.exported == 4_000


def test_the_first_item_may_come_from_a_finalizer_that_runs_under_the_locks_of_threading(pipeline, eventually):
    """Starting a `threading.Thread` there would wait for a lock that the same thread holds."""
    made = pipeline(schedule_delay=0.0)
    with threading._active_limbo_lock:
        made.add(Signal.TRACES, None, b"x")
    eventually(lambda: made.health.exported == 1)


def test_a_pipeline_that_nobody_holds_vanishes_with_its_thread(shelf, eventually):
    made = Pipeline(shelf, schedule_delay=0.0)
    made.add(Signal.TRACES, None, b"x")
    made.flush(60)
    assert made.health.exported == 1
    ghost = weakref.ref(made)
    del made
    eventually(lambda: gc.collect() is not None and ghost() is None)
    eventually(lambda: threads() == [])


def test_where_no_thread_can_start_the_flush_sends_itself(pipeline, shelf, monkeypatch, said):
    def refuse(*_):
        raise RuntimeError("can't start new thread")

    made = pipeline()
    monkeypatch.setattr("mmtrace.transport.worker.start_new_thread", refuse)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    made.add(Signal.TRACES, None, b"x")
    assert made.flush(60).exported == 1
    assert "did not start" in said()[0]
    monkeypatch.undo()
    made.add(Signal.TRACES, None, b"x")
    assert made.flush(60).exported == 1


@pytest.mark.parametrize("delay", [0.02, 0.05])
def test_items_that_trickle_in_are_sent_in_few_requests(pipeline, shelf, eventually, delay):
    made = pipeline(schedule_delay=delay)
    begin = time.monotonic()
    for _ in range(100):
        made.add(Signal.TRACES, None, b"x")
        time.sleep(0.002)
    eventually(lambda: made.health.exported == 100)
    assert len(shelf.kept) <= 1 + (time.monotonic() - begin) / delay
