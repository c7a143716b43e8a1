"""What happens when a destination is away, slow, or says no."""

import itertools
import time

from mmtrace.transport import Outcome, Signal, delivery

LATER = Outcome("retry", message="the shelf cannot be reached: nobody listens there", answered=False)


def test_a_batch_is_sent_again_until_it_is_taken(pipeline, shelf, eventually, said):
    shelf.answers.extend([LATER])
    made = pipeline(schedule_delay=0.0)
    made.add(Signal.TRACES, None, b"x")
    eventually(lambda: made.health.exported == 1)
    assert shelf.bodies == [b"x"]
    assert 0.4 <= shelf.seen[1][0] - shelf.seen[0][0] < 8
    assert len(said()) == 1


def test_the_pause_between_attempts_grows(pipeline, shelf, eventually):
    shelf.answers.extend([LATER] * 3)
    made = pipeline(schedule_delay=0.0)
    made.add(Signal.TRACES, None, b"x")
    eventually(lambda: made.health.exported == 1)
    moments = [moment for moment, _, _ in shelf.seen]
    pauses = [after - before for before, after in itertools.pairwise(moments)]
    assert all(pause >= 0.4 * 2**number for number, pause in enumerate(pauses)), pauses


def test_the_destination_decides_when_it_is_tried_again(pipeline, shelf, eventually, monkeypatch):
    monkeypatch.setattr(delivery, "_FIRST_PAUSE", 120)
    shelf.answers.append(Outcome("retry", message="busy", retry_after=0.05))
    made = pipeline(schedule_delay=0.0)
    made.add(Signal.TRACES, None, b"x")
    eventually(lambda: made.health.exported == 1)
    assert shelf.seen[1][0] - shelf.seen[0][0] >= 0.05


def test_a_destination_that_wants_to_be_tried_at_once_is_not_besieged(pipeline, shelf, eventually, monkeypatch):
    monkeypatch.setattr(delivery, "_FIRST_PAUSE", 1.5)
    shelf.answers.extend([Outcome("retry", message="busy", retry_after=0.0)] * 2)
    made = pipeline(schedule_delay=0.0)
    made.add(Signal.TRACES, None, b"x")
    eventually(lambda: made.health.exported == 1)
    first, second, third = [moment for moment, _, _ in shelf.seen]
    assert second - first < 2 <= third - second


def test_a_batch_is_given_up_when_its_time_is_over(pipeline, shelf, eventually, said):
    shelf.answers.extend([LATER] * 50)
    made = pipeline(schedule_delay=0.0, export_timeout=0.8)
    made.add(Signal.TRACES, None, b"x")
    eventually(lambda: made.health.dropped == {"timeout": 1})
    assert made.health.queue_bytes == 0
    assert len(said()) == 1


def test_no_attempt_is_given_more_time_than_the_batch_has_left(pipeline, shelf, eventually):
    shelf.answers.append(LATER)
    made = pipeline(schedule_delay=0.0, export_timeout=30.0)
    made.add(Signal.TRACES, None, b"x")
    eventually(lambda: made.health.exported == 1)
    assert shelf.seen[0][2] <= 30.0
    assert shelf.seen[1][2] < shelf.seen[0][2] - 0.3


def test_a_destination_that_asks_for_patience_gets_it_from_the_next_batch_too(pipeline, shelf, eventually):
    shelf.answers.append(Outcome("retry", message="busy", retry_after=30.0))
    made = pipeline(schedule_delay=0.0, export_timeout=1.0)
    made.add(Signal.TRACES, None, b"x")
    eventually(lambda: made.health.dropped == {"timeout": 1})
    made.add(Signal.TRACES, None, b"y")
    time.sleep(0.1)
    assert len(shelf.seen) == 1


def test_a_signal_that_waits_for_its_retry_holds_up_no_other(pipeline, shelf, eventually):
    shelf.answers.append(Outcome("retry", message="busy", retry_after=20.0))
    made = pipeline(schedule_delay=0.0)
    made.add(Signal.METRICS, None, b"m")
    eventually(lambda: len(shelf.seen) == 1)
    made.add(Signal.TRACES, None, b"t")
    eventually(lambda: made.health.exported == 1)
    assert made.health_of(Signal.METRICS).queue_spans == 1


def test_an_unreachable_destination_gives_one_log_line_and_the_service_runs_on(pipeline, shelf, eventually, said):
    shelf.answers.extend([LATER] * 500)
    made = pipeline(schedule_delay=0.0, export_timeout=0.1)
    for _ in range(5):
        made.add(Signal.TRACES, None, b"x")
        time.sleep(0.02)
    made.flush(0.2)
    made.shutdown(0.2)
    assert len(said()) == 1
    assert "nobody listens there; the service runs on" in said()[0]


def test_a_fault_of_the_exporter_is_a_failed_attempt(pipeline, shelf, said):
    shelf.answers.append(RuntimeError("boom"))
    made = pipeline()
    made.add(Signal.TRACES, None, b"x")
    assert made.flush(60).exported == 1
    assert "boom" in said()[0]


def test_a_signal_that_is_not_supported_is_off_and_the_others_go_on(pipeline, shelf, said):
    made = pipeline()
    shelf.answers.append(Outcome("unsupported", message="the shelf answered 404"))
    made.add(Signal.METRICS, None, b"m")
    made.flush(60)
    assert not made.add(Signal.METRICS, None, b"m")
    assert made.add(Signal.TRACES, None, b"t")
    assert made.flush(60).exported == 1
    assert made.health_of(Signal.METRICS).dropped == {"unsupported": 2}
    assert len(shelf.seen) == 2
    assert len(said()) == 1
    assert "metrics are not sent there any more" in said()[0]


def test_a_rejected_batch_is_dropped_and_the_next_one_sent(pipeline, shelf, said):
    shelf.answers.append(Outcome("rejected", message="the shelf answered 401: credentials go into ..."))
    made = pipeline()
    made.add(Signal.TRACES, None, b"x")
    assert made.flush(60).dropped == 1
    made.add(Signal.TRACES, None, b"y")
    assert made.flush(60).exported == 1
    assert made.health.dropped == {"rejected": 1}
    assert len(said()) == 1


def test_a_full_queue_is_said_once_with_the_setting_to_change(pipeline, shelf, said):
    shelf.open.clear()
    made = pipeline(max_queue_bytes=1)
    for _ in range(10):
        made.add(Signal.TRACES, None, b"x")
    shelf.open.set()
    made.flush(60)
    assert len(said()) == 1
    assert "MMTRACE_QUEUE_BYTES" in said()[0]
