"""What cannot be sent is kept on disk, and sent when it can be: by this process, or by the next one of the service."""

import time

import pytest

from mmtrace.transport import Outcome, Signal
from mmtrace.transport.spool import Folder, Spool

LATER = Outcome("retry", message="the shelf cannot be reached: nobody listens there", answered=False)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "spool" / "reranker"


@pytest.fixture
def spools(folder):
    """Makes what a pipeline is given: a spool for each signal, in a folder that pipelines share."""

    def make(mode="overflow", *, max_bytes=64 << 20, max_age=3600.0):
        shared = Folder(folder, max_bytes=max_bytes, max_age=max_age)
        return lambda signal, ledger: Spool(shared, signal, ledger, mode)

    return make


@pytest.fixture
def files(folder):
    return lambda: sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def balance(pipeline, signal=Signal.TRACES):
    health = pipeline.health_of(signal)
    kept = health.exported + sum(health.dropped.values()) + health.queue_spans + health.spool_spans
    return health.started - kept


def test_what_could_not_be_delivered_at_the_end_is_delivered_by_the_next_process(pipeline, spools, shelf, files):
    shelf.answers.extend([LATER] * 10)
    first = pipeline(spools=spools())
    for number in range(10):
        first.add(Signal.TRACES, None, b"%d" % number)
    assert first.shutdown(5).spooled == 10
    assert balance(first) == 0
    assert len(files()) == 1
    shelf.answers.clear()
    second = pipeline(spools=spools())
    second.add(Signal.TRACES, None, b"new")
    result = second.shutdown(5)
    assert (result.exported, result.spooled, result.dropped) == (11, 0, 0)
    assert second.health.adopted == 10
    assert balance(second) == 0
    assert sorted(b"".join(shelf.bodies)) == sorted(b"0123456789new")
    assert files() == []


def test_a_destination_that_answers_leaves_no_trace_on_disk(pipeline, spools, shelf, files):
    made = pipeline(spools=spools())
    made.add(Signal.TRACES, None, b"x")
    assert made.flush(5).exported == 1
    assert files() == []


def test_what_waits_while_the_destination_is_away_is_on_disk_and_is_sent_when_it_is_back(
    pipeline, spools, shelf, eventually
):
    shelf.answers.append(LATER)
    made = pipeline(spools=spools(), schedule_delay=0.0)
    made.add(Signal.TRACES, None, b"x")
    eventually(lambda: made.health.spool_spans == 1)
    assert made.health.queue_bytes == 0
    assert balance(made) == 0
    eventually(lambda: made.health.exported == 1)
    assert (made.health.spool_spans, made.health.spool_bytes) == (0, 0)
    assert shelf.bodies == [b"x"]


def test_always_writes_within_a_tenth_of_a_second(pipeline, spools, shelf, eventually):
    made = pipeline(spools=spools("always"), schedule_delay=60.0)
    made.add(Signal.TRACES, None, b"first")
    eventually(lambda: made.health.spool_spans == 1)
    time.sleep(0.1)
    made.add(Signal.TRACES, None, b"second")
    eventually(lambda: made.health.spool_spans == 2)
    assert shelf.seen == []
    assert made.flush(5).exported == 2
