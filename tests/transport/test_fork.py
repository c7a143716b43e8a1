"""Forks: a child starts empty with a thread and connections of its own, and the parent notices nothing."""

import os
import threading
import time

import pytest

from mmtrace.transport import Signal

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here"),
    pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning"),
]


def in_child(work):
    """Run `work` in a forked child; it passes where `work` returns true."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_child_starts_with_an_empty_queue_and_an_account_of_zero(pipeline):
    made = pipeline(schedule_delay=60)
    made.add(Signal.TRACES, None, b"the parent's")
    made.leave_out()

    def work():
        health = made.health
        return (health.started, health.queue_spans, health.queue_bytes, health.sampled_out) == (0, 0, 0, 0)

    assert in_child(work) == 0
    assert made.health.queue_spans == 1


def test_a_child_delivers_its_own_items_only_and_the_parent_its_own(pipeline, shelf):
    made = pipeline(schedule_delay=60)
    made.add(Signal.TRACES, None, b"the parent's")

    def work():
        made.add(Signal.TRACES, None, b"the child's")
        return made.flush(5).exported == 1 and shelf.bodies == [b"the child's"] and shelf.forks == 1

    assert in_child(work) == 0
    assert made.flush(5).exported == 1
    assert (shelf.bodies, shelf.forks) == ([b"the parent's"], 0)


def test_a_child_has_a_thread_of_its_own(pipeline, shelf, eventually):
    made = pipeline(schedule_delay=0.0)
    made.add(Signal.TRACES, None, b"x")
    eventually(lambda: made.health.exported == 1)

    def work():
        made.add(Signal.TRACES, None, b"x")
        eventually(lambda: made.health.exported == 1)
        return True

    assert in_child(work) == 0


def test_a_child_of_a_process_whose_export_hangs_does_not_hang(pipeline, shelf):
    made = pipeline(schedule_delay=0.0)
    shelf.open.clear()
    made.add(Signal.TRACES, None, b"x")
    assert shelf.busy.wait(5)

    def work():
        shelf.open.set()
        made.add(Signal.TRACES, None, b"x")
        return made.flush(5).exported == 1

    begin = time.monotonic()
    assert in_child(work) == 0
    assert time.monotonic() - begin < 3


def test_a_signal_that_is_off_stays_off_in_children(pipeline, shelf):
    made = pipeline()
    made.shutdown(5)
    assert in_child(lambda: made.add(Signal.TRACES, None, b"x") is False) == 0


def test_callbacks_go_on_in_children(pipeline, shelf, eventually):
    made = pipeline(schedule_delay=0.0)
    made.every(0.02, lambda: made.add(Signal.METRICS, None, b"m"))

    def work():
        made.start()
        eventually(lambda: b"m" in shelf.bodies)
        return True

    assert in_child(work) == 0


def test_an_exporter_that_asks_for_it_is_quiet_while_the_process_forks(pipeline, shelf):
    shelf.quiet_before_fork = True
    made = pipeline(schedule_delay=0.0)
    shelf.open.clear()
    made.add(Signal.TRACES, None, b"x")
    assert shelf.busy.wait(5)
    threading.Timer(0.2, shelf.open.set).start()
    begin = time.monotonic()
    assert in_child(lambda: True) == 0
    assert time.monotonic() - begin >= 0.15
    made.add(Signal.TRACES, None, b"x")
    assert made.flush(5).waiting == 0


def test_a_fork_waits_for_quiet_only_so_long(pipeline, shelf):
    shelf.quiet_before_fork = True
    made = pipeline(schedule_delay=0.0)
    shelf.open.clear()
    made.add(Signal.TRACES, None, b"x")
    assert shelf.busy.wait(5)
    begin = time.monotonic()
    assert in_child(lambda: True) == 0
    assert time.monotonic() - begin < 3
    shelf.open.set()
    assert made.flush(5).waiting == 0


def test_two_threads_that_fork_at_once_leave_the_exporter_usable(pipeline, shelf):
    shelf.quiet_before_fork = True
    made, codes = pipeline(schedule_delay=0.001), []
    made.add(Signal.TRACES, None, b"x")
    threads = [threading.Thread(target=lambda: codes.append(in_child(lambda: True))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0] * 4
    made.add(Signal.TRACES, None, b"x")
    assert made.flush(5).waiting == 0


def test_a_fork_that_python_was_not_told_of_sends_nothing_twice(pipeline, shelf):
    made = pipeline(schedule_delay=60)

    def work():
        made.add(Signal.TRACES, None, b"the parent's")
        made._pid = -1  # as in a child of a fork in C, which runs no hooks
        return made.flush(5).exported == 0 and shelf.bodies == [] and shelf.forks == 2

    assert in_child(work) == 0


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
        return made.flush(5).waiting == 0 and made.health.exported == 20

    assert [in_child(work) for _ in range(10)] == [0] * 10
    stop.set()
    producer.join()
    made.flush(5)
    health = made.health
    assert health.started == health.exported
