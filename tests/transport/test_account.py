"""Every item is accounted for: started = exported + dropped + queued, with the reason of each drop."""

import threading
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtrace.transport import ACCEPTED, Outcome, Pipeline, Signal
from mmtrace.transport.health import REASONS, Ledger

FINAL = st.sampled_from(
    [
        ACCEPTED,
        Outcome("accepted", rejected=1, message="one was bad"),
        Outcome("accepted", rejected=99),
        Outcome("rejected", message="no"),
        Outcome("too_large", message="too much"),
        Outcome("retry", retry_after=0.0, message="later"),
    ]
)


def balance(pipeline, signal=Signal.TRACES):
    health = pipeline.health_of(signal)
    return health.started - health.exported - sum(health.dropped.values()) - health.queue_spans


def test_a_delivered_item_counts_as_started_and_exported(pipeline):
    made = pipeline()
    assert made.add(Signal.TRACES, None, b"span")
    assert made.health.queue_spans == 1
    assert made.health.queue_bytes == 4
    assert made.flush(60).exported == 1
    health = made.health
    assert (health.started, health.exported, health.queue_spans, health.queue_bytes) == (1, 1, 0, 0)
    assert health.dropped == {}


@pytest.mark.parametrize("size", [1, 200, 20_000])
def test_a_full_queue_takes_its_bytes_and_little_more(pipeline, shelf, size):
    made = pipeline(max_queue_bytes=1_000_000, max_queue_items=5_000)
    shelf.open.clear()
    made.add(Signal.TRACES, None, bytes(size))
    shelf.busy.wait()
    tracemalloc.start()
    try:
        while made.add(Signal.TRACES, None, bytes(size)):
            pass
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    health = made.health
    assert health.queue_spans == min(5_000, 1_000_000 // size)
    assert taken < health.queue_bytes + 160 * health.queue_spans + 20_000


def test_what_does_not_fit_in_bytes_is_dropped_and_counted(pipeline, shelf):
    made = pipeline(max_queue_bytes=10)
    shelf.open.clear()
    assert made.add(Signal.TRACES, None, b"12345678")
    assert not made.add(Signal.TRACES, None, b"123")
    assert made.add(Signal.TRACES, None, b"12")
    assert made.health.queue_bytes == made.health.queue_capacity == 10
    assert made.health.dropped == {"queue_full": 1}
    shelf.open.set()
    assert made.flush(60).waiting == 0
    assert balance(made) == 0


def test_what_does_not_fit_in_items_is_dropped_and_counted(pipeline, shelf):
    made = pipeline(max_queue_items=2)
    shelf.open.clear()
    assert [made.add(Signal.TRACES, None, b"x") for _ in range(3)] == [True, True, False]
    assert made.health.dropped == {"queue_full": 1}


def test_items_count_against_the_bound_until_they_are_answered_for(pipeline, shelf, eventually):
    made = pipeline(max_queue_bytes=4, schedule_delay=0.0)
    shelf.open.clear()
    assert made.add(Signal.TRACES, None, b"1234")
    assert shelf.busy.wait(60)
    assert not made.add(Signal.TRACES, None, b"1")
    shelf.open.set()
    eventually(lambda: made.health.queue_bytes == 0)
    assert made.add(Signal.TRACES, None, b"1")


def test_a_partial_success_counts_both_parts(pipeline, shelf, said):
    shelf.answers.append(Outcome("accepted", rejected=2, message="bad names"))
    made = pipeline()
    for _ in range(5):
        made.add(Signal.TRACES, None, b"x")
    result = made.flush(60)
    assert (result.exported, result.dropped) == (3, 2)
    assert made.health.dropped == {"rejected": 2}
    assert "2 of 5" in said()[0]
    assert "bad names" in said()[0]


def test_what_could_not_be_encoded_is_counted(pipeline):
    made = pipeline()
    made.lose(Signal.TRACES, "encode_error")
    assert made.health.dropped == {"encode_error": 1}
    assert balance(made) == 0


def test_what_sampling_left_out_is_not_started(pipeline):
    made = pipeline()
    made.leave_out()
    assert (made.health.sampled_out, made.health.started) == (1, 0)


def test_signals_have_accounts_of_their_own_and_share_the_bound(pipeline, shelf):
    made = pipeline(max_queue_bytes=3)
    shelf.open.clear()
    made.add(Signal.TRACES, None, b"12")
    made.add(Signal.LOGS, None, b"3", count=7)
    made.add(Signal.METRICS, None, b"4")
    assert [made.health_of(signal).started for signal in Signal] == [1, 1, 7]
    assert made.health_of(Signal.METRICS).dropped == {"queue_full": 1}


@settings(max_examples=60, deadline=None)
@given(answers=st.lists(FINAL, max_size=8), sizes=st.lists(st.integers(0, 30), min_size=1, max_size=25))
def test_the_account_balances_whatever_the_destination_answers(answers, sizes):
    script = iter(answers)

    class Moody:
        where = "somewhere"
        quiet_before_fork = False

        def export(self, signal, body, count, timeout):
            return next(script, ACCEPTED)

        def close(self):
            pass

    made = Pipeline(Moody(), max_queue_bytes=200, max_batch_items=4, max_batch_bytes=60, export_timeout=1.0)
    for size in sizes:
        made.add(Signal.TRACES, None, b"x" * size)
        assert balance(made) == 0
    result = made.flush(60)
    assert balance(made) == 0
    assert made.health.queue_spans == result.waiting == 0
    assert made.health.queue_bytes == 0
    assert made.shutdown(5).waiting == 0
    assert not made.add(Signal.TRACES, None, b"late")
    assert made.health.dropped["shutdown"] == 1
    assert balance(made) == 0


def test_the_account_balances_while_threads_add_and_flush(pipeline):
    made = pipeline(max_queue_bytes=4_000, max_batch_items=16, schedule_delay=0.001)
    added = []

    def produce():
        added.append(sum(made.add(Signal.TRACES, None, b"x" * 17) for _ in range(3_000)))

    threads = [threading.Thread(target=produce) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert balance(made) == 0
        assert made.health.queue_bytes <= 4_000 + 4 * 17  # a reservation on its way back is seen, but not admitted
        made.flush(0.01)
        time.sleep(0.001)
    made.flush(60)
    health = made.health
    assert health.started == 12_000
    assert health.exported == sum(added)
    assert health.queue_spans == health.queue_bytes == 0
    assert balance(made) == 0


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_a_count(reason):
    ledger = Ledger()
    ledger.drop(reason, 3)
    assert ledger.dropped == {reason: 3}
