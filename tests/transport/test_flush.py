"""Flush and shutdown keep their deadline and tell the truth."""

import threading
import time

import pytest

from mmtrace.transport import ACCEPTED, FlushResult, Outcome, Signal

LATER = Outcome("retry", message="the shelf cannot be reached", answered=False)


def elapsed(function, *arguments):
    begin = time.monotonic()
    result = function(*arguments)
    return result, time.monotonic() - begin


def test_flush_delivers_what_is_queued_at_once(pipeline, shelf):
    made = pipeline(schedule_delay=60)
    made.add(Signal.TRACES, None, b"x")
    result, seconds = elapsed(made.flush, 40)
    assert result == FlushResult(exported=1)
    assert seconds < 20
    assert shelf.bodies == [b"x"]


def test_flush_of_nothing_returns_at_once_and_starts_no_thread(pipeline):
    before = threading.active_count()
    result, seconds = elapsed(pipeline().flush, 40)
    assert result == FlushResult()
    assert seconds < 20
    assert threading.active_count() == before


def test_flush_counts_spans_and_records_but_no_snapshots(pipeline):
    made = pipeline()
    made.add(Signal.TRACES, None, b"x")
    made.add(Signal.LOGS, None, b"x")
    made.add(Signal.METRICS, None, b"x", count=70)
    assert made.flush(60).exported == 2


def test_flush_returns_at_its_deadline_though_the_destination_hangs(pipeline, shelf):
    made = pipeline()
    shelf.open.clear()
    made.add(Signal.TRACES, None, b"x")
    result, seconds = elapsed(made.flush, 0.3)
    assert result == FlushResult(waiting=1)
    assert 0.3 <= seconds < 5
    shelf.open.set()
    assert made.flush(60).waiting == 0
    assert made.health.exported == 1


def test_flush_waits_for_what_is_in_flight(pipeline, shelf):
    made = pipeline(schedule_delay=0.0)
    shelf.open.clear()
    made.add(Signal.TRACES, None, b"x")
    assert shelf.busy.wait(60)
    threading.Timer(0.2, shelf.open.set).start()
    result = made.flush(60)
    assert shelf.open.is_set()
    assert result == FlushResult(exported=1)


def test_flush_does_not_wait_for_a_retry_that_was_planned(pipeline, shelf, eventually):
    shelf.answers.append(Outcome("retry", message="busy", retry_after=60.0))
    made = pipeline(schedule_delay=0.0, export_timeout=100)
    made.add(Signal.TRACES, None, b"x")
    eventually(lambda: len(shelf.seen) == 1)
    result, seconds = elapsed(made.flush, 40)
    assert result == FlushResult(exported=1)
    assert seconds < 20


def test_flush_tries_again_within_its_deadline(pipeline, shelf):
    made = pipeline()
    made.add(Signal.TRACES, None, b"warm")
    made.flush(60)
    shelf.answers.extend([LATER, LATER])
    made.add(Signal.TRACES, None, b"x")
    assert made.flush(60) == FlushResult(exported=1)


def test_flush_returns_early_where_the_destination_wants_more_time_than_there_is(pipeline, shelf):
    shelf.answers.extend([Outcome("retry", message="busy", retry_after=60.0)] * 2)
    made = pipeline(export_timeout=100)
    made.add(Signal.TRACES, None, b"x")
    result, seconds = elapsed(made.flush, 40)
    assert result == FlushResult(waiting=1)
    assert seconds < 20


def test_nobody_waits_long_for_a_destination_that_never_answered(pipeline, shelf):
    shelf.answers.extend([LATER] * 100)
    made = pipeline()
    made.add(Signal.TRACES, None, b"x")
    result, seconds = elapsed(made.shutdown, 30)
    assert result == FlushResult(dropped=1)
    assert seconds < 20


def test_a_destination_that_is_busy_from_the_start_is_waited_for(pipeline, shelf):
    shelf.answers.extend([Outcome("retry", message="answered 503")] * 3)
    made = pipeline()
    made.add(Signal.TRACES, None, b"x")
    assert made.shutdown(60) == FlushResult(exported=1)


def test_a_destination_that_answered_before_is_waited_for(pipeline, shelf):
    made = pipeline()
    made.add(Signal.TRACES, None, b"warm")
    made.flush(60)
    shelf.answers.extend([LATER] * 3)
    made.add(Signal.TRACES, None, b"x")
    result, seconds = elapsed(made.shutdown, 60)
    assert result == FlushResult(exported=1)
    assert seconds > 1.5


def test_flush_ends_though_producers_go_on(pipeline, shelf):
    made, stop = pipeline(max_batch_items=5), threading.Event()

    def slow(signal, body, count, timeout):
        time.sleep(0.01)
        return ACCEPTED

    def produce():
        while not stop.is_set():
            made.add(Signal.TRACES, None, b"x")
            time.sleep(0.001)

    shelf.export = slow
    producer = threading.Thread(target=produce)
    producer.start()
    time.sleep(0.05)
    _, seconds = elapsed(made.flush, 40)
    stop.set()
    producer.join()
    assert seconds < 20


def test_many_threads_may_flush_at_once(pipeline):
    made, results = pipeline(), []
    for _ in range(50):
        made.add(Signal.TRACES, None, b"x")
    flushers = [threading.Thread(target=lambda: results.append(made.flush(60))) for _ in range(6)]
    for each in flushers:
        each.start()
    for each in flushers:
        each.join()
    assert len(results) == 6
    assert all(result.waiting == 0 for result in results)
    assert made.health.exported == 50


def test_flush_from_a_callback_of_the_thread_itself_does_not_hang(pipeline, shelf, eventually):
    made, results = pipeline(schedule_delay=0.0), []

    def export(signal, body, count, timeout):
        results.append(made.flush(0.2))
        return ACCEPTED

    shelf.export = export
    made.add(Signal.TRACES, None, b"x")
    eventually(lambda: made.health.exported == 1)
    assert results[0].waiting == 1


def test_shutdown_delivers_ends_the_thread_and_closes_the_exporter(pipeline, shelf):
    made = pipeline(schedule_delay=60)
    made.add(Signal.TRACES, None, b"x")
    assert made.shutdown(5) == FlushResult(exported=1)
    assert shelf.closed == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "mmtrace-transport"]


def test_a_second_shutdown_does_nothing(pipeline, shelf):
    made = pipeline()
    made.add(Signal.TRACES, None, b"x")
    made.shutdown(5)
    assert made.shutdown(5) == FlushResult()
    assert made.flush(60) == FlushResult()
    assert shelf.closed == 1


def test_what_comes_after_a_shutdown_is_counted_as_dropped(pipeline):
    made = pipeline()
    made.shutdown(5)
    assert not made.add(Signal.TRACES, None, b"x")
    assert made.health.dropped == {"shutdown": 1}


def test_a_shutdown_at_its_deadline_counts_what_it_leaves_behind_also_what_is_in_flight(pipeline, shelf, said):
    made = pipeline(max_batch_items=2)
    shelf.open.clear()
    for _ in range(5):
        made.add(Signal.TRACES, None, b"x")
    result, seconds = elapsed(made.shutdown, 0.3)
    assert result == FlushResult(dropped=5)
    assert 0.3 <= seconds < 5
    shelf.open.set()
    time.sleep(0.1)
    assert made.health.dropped == {"shutdown": 5}
    assert made.health.exported == made.health.queue_spans == made.health.queue_bytes == 0
    assert "5 items were not delivered" in said()[0]


def test_shutdown_while_threads_add_leaves_nothing_uncounted(pipeline):
    made, stop = pipeline(schedule_delay=0.001), threading.Event()

    def produce():
        while not stop.is_set():
            made.add(Signal.TRACES, None, b"x")

    producers = [threading.Thread(target=produce) for _ in range(3)]
    for each in producers:
        each.start()
    time.sleep(0.05)
    made.shutdown(5)
    time.sleep(0.02)
    stop.set()
    for each in producers:
        each.join()
    health = made.health
    assert health.queue_spans == health.queue_bytes == 0
    assert health.started == health.exported + sum(health.dropped.values())


def test_a_timeout_of_zero_sends_nothing_and_hangs_nowhere(pipeline):
    made = pipeline(schedule_delay=60)
    made.add(Signal.TRACES, None, b"x")
    result, seconds = elapsed(made.flush, 0)
    assert result.waiting + result.exported == 1
    assert seconds < 5


@pytest.mark.parametrize("other", [FlushResult(exported=1), FlushResult(dropped=2, waiting=3, spooled=4)])
def test_results_of_several_pipelines_add_up(other):
    total = FlushResult(1, 2, 3, 4) + other
    assert total == FlushResult(1 + other.exported, 2 + other.spooled, 3 + other.dropped, 4 + other.waiting)
