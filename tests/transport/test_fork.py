"""Forks: a child starts empty with a thread and connections of its own, and the parent notices nothing."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from forked import in_child
from mmtrace.transport import Signal


def test_a_child_starts_with_an_empty_queue_and_an_account_of_zero(pipeline):
    made = pipeline(schedule_delay=60)
    made.add(Signal.TRACES, None, b"the parent's")
    made.leave_out()

    def work():
        health = made.health
        assert (health.started, health.queue_spans, health.queue_bytes, health.sampled_out) == (0, 0, 0, 0)

    in_child(work)
    assert made.health.queue_spans == 1


def test_a_child_delivers_its_own_items_only_and_the_parent_its_own(pipeline, shelf):
    made = pipeline(schedule_delay=60)
    made.add(Signal.TRACES, None, b"the parent's")

    def work():
        made.add(Signal.TRACES, None, b"the child's")
        assert made.flush(60).exported == 1
        assert (shelf.bodies, shelf.forks) == ([b"the child's"], 1)

    in_child(work)
    assert made.flush(60).exported == 1
    assert (shelf.bodies, shelf.forks) == ([b"the parent's"], 0)


def test_a_child_has_a_thread_of_its_own(pipeline, shelf, eventually):
    made = pipeline(schedule_delay=0.0)
    made.add(Signal.TRACES, None, b"x")
    eventually(lambda: made.health.exported == 1)

    def work():
        made.add(Signal.TRACES, None, b"x")
        eventually(lambda: made.health.exported == 1)

    in_child(work)


def test_a_child_of_a_process_whose_export_hangs_does_not_hang(pipeline, shelf):
    made = pipeline(schedule_delay=0.0)
    shelf.open.clear()
    made.add(Signal.TRACES, None, b"x")
    assert shelf.busy.wait(60)

    def work():
        shelf.open.set()
        made.add(Signal.TRACES, None, b"x")
        made.flush(60)
        assert made.health.exported == 1

    begin = time.monotonic()
    in_child(work)
    assert time.monotonic() - begin < 20


def test_a_signal_that_is_off_stays_off_in_children(pipeline, shelf):
    made = pipeline()
    made.shutdown(5)

    def work():
        assert made.add(Signal.TRACES, None, b"x") is False

    in_child(work)


def test_callbacks_go_on_in_children(pipeline, shelf, eventually):
    made = pipeline(schedule_delay=0.0)
    made.every(0.02, lambda: made.add(Signal.METRICS, None, b"m"))

    def work():
        made.start()
        eventually(lambda: b"m" in shelf.bodies)

    in_child(work)


def test_an_exporter_that_asks_for_it_is_quiet_while_the_process_forks(pipeline, shelf, monkeypatch):
    monkeypatch.setattr("mmtrace.transport.pipeline._QUIET_BEFORE_FORK", 60.0)
    shelf.quiet_before_fork = True
    made = pipeline(schedule_delay=0.0)
    shelf.open.clear()
    made.add(Signal.TRACES, None, b"x")
    assert shelf.busy.wait(60)
    threading.Timer(0.2, shelf.open.set).start()

    def work():
        assert shelf.open.is_set()

    in_child(work)
    made.add(Signal.TRACES, None, b"x")
    assert made.flush(60).waiting == 0


def test_a_fork_waits_for_quiet_only_so_long(pipeline, shelf):
    shelf.quiet_before_fork = True
    made = pipeline(schedule_delay=0.0)
    shelf.open.clear()
    made.add(Signal.TRACES, None, b"x")
    assert shelf.busy.wait(60)
    begin = time.monotonic()
    in_child(lambda: None)
    assert time.monotonic() - begin < 20
    shelf.open.set()
    assert made.flush(60).waiting == 0


def test_two_threads_that_fork_at_once_leave_the_exporter_usable(pipeline, shelf):
    shelf.quiet_before_fork = True
    made = pipeline(schedule_delay=0.001)
    made.add(Signal.TRACES, None, b"x")
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(in_child, [lambda: None] * 4))
    made.add(Signal.TRACES, None, b"x")
    assert made.flush(60).waiting == 0


def test_a_fork_that_python_was_not_told_of_sends_nothing_twice(pipeline, shelf):
    made = pipeline(schedule_delay=60)

    def work():
        made.add(Signal.TRACES, None, b"the parent's")
        made._pid = -1  # as in a child of a fork in C, which runs no hooks
        assert made.flush(60).exported == 0
        assert (shelf.bodies, shelf.forks) == ([], 2)

    in_child(work)


def test_many_children_of_a_busy_process_deliver_everything(pipeline, shelf, eventually):
    made, stop = pipeline(schedule_delay=0.001), threading.Event()

    def produce():
        while not stop.is_set():
            made.add(Signal.TRACES, None, b"x")
            time.sleep(0.0005)

    producer = threading.Thread(target=produce)
    producer.start()

    def work():
        for _ in range(20):
            made.add(Signal.TRACES, None, b"x")
        assert made.flush(60).waiting == 0
        assert made.health.exported == 20

    for _ in range(10):
        in_child(work)
    stop.set()
    producer.join()
    made.flush(60)
    health = made.health
    assert health.started == health.exported
