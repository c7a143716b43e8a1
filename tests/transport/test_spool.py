"""What cannot be sent is kept on disk, and sent when it can be: by this process, or by the next one of the service."""

import contextlib
import os
import sqlite3
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtrace.otlp.frames import Frame
from mmtrace.otlp.wire import field
from mmtrace.recording import guard
from mmtrace.spans import Resource
from mmtrace.transport import ACCEPTED, Outcome, Pipeline, Signal, spool_file
from mmtrace.transport.spool import Folder, Spool
from mmtrace.transport.spool_file import SpoolFile, Taken

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
    assert made.flush(60).exported == 1
    assert files() == []


def test_what_waits_while_the_destination_is_away_is_on_disk_and_is_sent_when_it_is_back(
    pipeline, spools, shelf, eventually
):
    shelf.answers.extend([LATER] * 1000)
    made = pipeline(spools=spools(), schedule_delay=0.0)
    made.add(Signal.TRACES, None, b"x")
    eventually(lambda: made.health.spool_spans == 1)
    assert made.health.queue_bytes == 0
    assert balance(made) == 0
    shelf.answers.clear()
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
    assert made.flush(60).exported == 2


def test_in_always_mode_a_flush_delivers_what_was_just_added(pipeline, spools, shelf):
    made = pipeline(spools=spools("always"), schedule_delay=60.0)
    for _ in range(5):
        made.add(Signal.TRACES, None, b"x")
    result = made.flush(60)
    assert (result.exported, result.spooled, result.waiting) == (5, 0, 0)
    assert balance(made) == 0


def test_a_flush_that_nobody_answers_keeps_on_disk_what_waits_and_what_is_in_flight(pipeline, spools, shelf):
    shelf.open.clear()
    made = pipeline(spools=spools(), schedule_delay=0.0)
    made.add(Signal.TRACES, None, b"in flight")
    assert shelf.busy.wait(60)
    made.add(Signal.TRACES, None, b"waits")
    result = made.flush(0.3)
    assert (result.exported, result.spooled, result.dropped, result.waiting) == (0, 2, 0, 0)
    shelf.open.set()
    made.flush(60)
    assert made.health.exported == 2
    assert sorted(shelf.bodies) == [b"in flight", b"waits"]
    assert (made.health.spool_spans, made.health.queue_bytes) == (0, 0)
    assert balance(made) == 0


def test_a_full_queue_goes_to_disk_while_the_destination_is_slow(pipeline, spools, shelf, eventually):
    shelf.open.clear()
    made = pipeline(spools=spools(), schedule_delay=0.0, max_queue_items=10)
    made.add(Signal.TRACES, None, b"x")
    assert shelf.busy.wait(60)
    for round_ in range(1, 6):
        for _ in range(8):
            assert made.add(Signal.TRACES, None, b"y")
        eventually(lambda kept=8 * round_: made.health.spool_spans == kept)
    assert made.health.dropped == {}
    shelf.open.set()
    assert made.flush(60).waiting == 0
    eventually(lambda: made.health.exported == 41)
    assert balance(made) == 0


def test_what_fills_memory_is_written_in_one_go_and_sent_in_batches(pipeline, spools, shelf, eventually, monkeypatch):
    writes = []
    append = SpoolFile.append
    monkeypatch.setattr(SpoolFile, "append", lambda file, bodies: writes.append(len(bodies)) or append(file, bodies))
    shelf.open.clear()
    made = pipeline(spools=spools(), schedule_delay=0.0, max_batch_items=10, max_queue_items=4000)
    made.add(Signal.TRACES, None, b"x")
    assert shelf.busy.wait(60)
    for _ in range(2100):
        assert made.add(Signal.TRACES, None, b"y")
    eventually(lambda: made.health.spool_spans >= 2000)
    assert max(writes) >= 200
    shelf.open.set()
    assert made.flush(60).waiting == 0
    eventually(lambda: made.health.exported == 2101)
    assert max(shelf.counts) == 10
    assert balance(made) == 0


def test_what_is_written_in_one_go_stays_in_memory_where_it_fails(pipeline, spools, shelf, folder):
    shelf.answers.extend([LATER] * 10)
    folder.parent.mkdir(parents=True)
    folder.write_text("not a folder")
    made = pipeline(spools=spools(), schedule_delay=60.0, max_batch_items=10)
    for number in range(100):
        made.add(Signal.TRACES, None, b"%02d" % number)
    assert made.flush(0.5).waiting == 100
    shelf.answers.clear()
    assert made.flush(60).exported == 100
    assert b"".join(sorted(shelf.bodies)) == b"".join(b"%02d" % number for number in range(100))


def test_what_is_too_large_is_sent_from_disk_in_halves(pipeline, spools, shelf):
    shelf.answers.extend([LATER] * 2)
    first = pipeline(spools=spools())
    frame = Frame(Resource({}), None)
    for number in range(4):
        first.add(Signal.TRACES, frame, field(b"\x12", b"%d" % number))
    assert first.shutdown(5).spooled == 4
    shelf.answers.clear()
    shelf.answers.extend([Outcome("too_large", message="too much")] * 2)
    second = pipeline(spools=spools())
    second.start()
    result = second.shutdown(5)
    assert (result.exported, result.dropped, result.spooled) == (4, 0, 0)
    assert shelf.counts == [1, 1, 2]
    assert balance(second) == 0


def test_what_is_too_large_and_cannot_be_divided_is_dropped_and_counted(pipeline, spools, shelf, files):
    made = pipeline(spools=spools("always"))
    made.add(Signal.TRACES, None, b"x")
    shelf.answers.append(Outcome("too_large", message="too much"))
    assert made.flush(60).dropped == 1
    assert made.health.dropped == {"too_large": 1}
    assert made.shutdown(5).spooled == 0
    assert files() == []


@pytest.mark.parametrize("kind", ["rejected", "unsupported"])
def test_what_is_refused_leaves_the_disk_and_is_counted(pipeline, spools, shelf, kind, files):
    made = pipeline(spools=spools("always"))
    made.add(Signal.TRACES, None, b"x")
    shelf.answers.append(Outcome(kind, message="no"))
    assert made.flush(60).dropped == 1
    assert made.health.dropped == {kind: 1}
    assert balance(made) == 0
    made.shutdown(5)
    assert files() == []


def test_a_partial_success_counts_both_parts_of_what_was_on_disk(pipeline, spools, shelf):
    made = pipeline(spools=spools("always"))
    for _ in range(5):
        made.add(Signal.TRACES, None, b"x")
    shelf.answers.append(Outcome("accepted", rejected=2, message="bad names"))
    result = made.flush(60)
    assert (result.exported, result.dropped) == (3, 2)
    assert balance(made) == 0


def test_a_signal_that_is_not_supported_stays_on_disk_for_a_process_that_is_set_right(pipeline, spools, shelf):
    shelf.answers.extend([LATER] * 10)
    first = pipeline(spools=spools())
    first.add(Signal.TRACES, None, b"x")
    first.add(Signal.LOGS, None, b"y")
    assert first.shutdown(5).spooled == 2
    shelf.answers.clear()
    shelf.answers.extend([Outcome("unsupported", message="404")] * 2)
    second = pipeline(spools=spools(), max_batch_items=1)
    second.add(Signal.TRACES, None, b"z")
    second.flush(5)
    assert second.health.spool_spans + second.health.dropped["unsupported"] == 2
    assert balance(second) == 0


def test_the_oldest_make_way_where_the_bound_is_reached(pipeline, spools, shelf, said, folder):
    shelf.answers.extend([LATER] * 100)
    made = pipeline(spools=spools("always", max_bytes=1 << 20), schedule_delay=60.0)
    for number in range(40):
        made.add(Signal.TRACES, None, b"%02d" % number + bytes(50_000))
        made.flush(0.0)
        assert sum(path.stat().st_size for path in folder.iterdir()) <= 1 << 20
    health = made.health
    assert health.dropped["spool_full"] + health.spool_spans == 40
    assert health.spool_spans >= 10
    assert balance(made) == 0
    assert sum("MMTRACE_SPOOL_MAX_BYTES" in line for line in said()) == 1
    shelf.answers.clear()
    made.flush(60)
    kept = sorted(body[at : at + 2] for body in shelf.bodies for at in range(0, len(body), 50_002))
    assert kept == [b"%02d" % number for number in range(40 - health.spool_spans, 40)]


def test_what_does_not_fit_at_all_waits_in_memory_and_is_sent_from_there(pipeline, spools, shelf):
    made = pipeline(spools=spools("always", max_bytes=1000))
    made.add(Signal.TRACES, None, bytes(2000))
    assert made.flush(60).exported == 1


def test_what_is_too_old_is_dropped_and_counted(pipeline, spools, shelf):
    shelf.answers.extend([LATER] * 10)
    first = pipeline(spools=spools())
    first.add(Signal.TRACES, None, b"x")
    assert first.shutdown(5).spooled == 1
    shelf.answers.clear()
    second = pipeline(spools=spools(max_age=0.0))
    second.add(Signal.TRACES, None, b"y")
    result = second.shutdown(5)
    assert (result.exported, result.dropped) == (1, 1)
    assert second.health.dropped == {"spool_full": 1}


@pytest.mark.parametrize("step", [-100_000, 100_000])
def test_a_clock_that_is_set_while_the_process_runs_ages_nothing(
    pipeline, spools, shelf, eventually, monkeypatch, step
):
    shelf.answers.extend([LATER] * 1000)
    made = pipeline(spools=spools(), schedule_delay=0.0)
    made.add(Signal.TRACES, None, b"x")
    eventually(lambda: made.health.spool_spans == 1)
    set_to = time.time() + step
    monkeypatch.setattr(time, "time", lambda: set_to)
    shelf.answers.clear()
    eventually(lambda: made.health.exported == 1)
    assert made.health.dropped == {}


def test_what_a_process_with_a_fast_clock_left_is_sent_and_ages_from_then_on(pipeline, spools, shelf, monkeypatch):
    shelf.answers.extend([LATER] * 10)
    with monkeypatch.context() as fast:
        fast.setattr(time, "time", lambda: 4e9)
        first = pipeline(spools=spools())
        first.add(Signal.TRACES, None, b"x")
        assert first.shutdown(5).spooled == 1
    shelf.answers.clear()
    second = pipeline(spools=spools())
    second.start()
    assert second.shutdown(5).exported == 1


@pytest.mark.parametrize("damage", [b"no database at all" * 300, None])
def test_a_damaged_file_is_set_aside_said_and_counted(pipeline, spools, shelf, files, folder, said, damage):
    folder.mkdir(parents=True)
    if damage is None:
        shelf.answers.extend([LATER] * 10)
        first = pipeline(spools=spools())
        first.add(Signal.TRACES, None, bytes(100_000))
        assert first.shutdown(5).spooled == 1
        shelf.answers.clear()
        (path,) = folder.iterdir()
        content = path.read_bytes()
        path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    else:
        (folder / "traces-0.db").write_bytes(damage)
    guard.forget()
    made = pipeline(spools=spools())
    made.add(Signal.TRACES, None, b"x")
    assert made.shutdown(5).exported == 1
    assert balance(made) == 0
    assert made.health.dropped == {"spool_error": 1}
    assert [name.endswith(".damaged") for name in files()] == [True]
    assert sum("is damaged" in line for line in said()) == 1


def test_a_file_that_is_damaged_while_it_is_used_is_set_aside_and_another_one_begun(
    pipeline, spools, shelf, eventually, folder
):
    made = pipeline(spools=spools("always"), schedule_delay=60.0)
    made.add(Signal.TRACES, None, bytes(3_000_000))
    eventually(lambda: made.health.spool_spans == 1)
    for path in folder.iterdir():
        with path.open("r+b") as file:
            file.write(b"\xff" * path.stat().st_size)
    made.add(Signal.TRACES, None, b"after")
    result = made.flush(60)
    assert result.waiting == 0
    assert balance(made) == 0
    assert made.health.exported + made.health.dropped.get("spool_error", 0) == 2
    made.add(Signal.TRACES, None, b"later")
    assert made.flush(60).exported == 1


def test_a_folder_that_cannot_be_used_is_said_once_and_all_goes_on_as_without_a_spool(pipeline, shelf, said, tmp_path):
    (tmp_path / "file").touch()
    unusable = Folder(tmp_path / "file" / "spool", max_bytes=1 << 20, max_age=60)
    made = pipeline(spools=lambda signal, ledger: Spool(unusable, signal, ledger, "always"), export_timeout=1.0)
    for _ in range(5):
        made.add(Signal.TRACES, None, b"x")
        assert made.flush(60).exported == 1
    shelf.answers.extend([LATER] * 100)
    made.add(Signal.TRACES, None, b"x")
    assert made.shutdown(0.5).dropped == 1
    assert made.health.dropped == {"shutdown": 1}
    assert sum("MMTRACE_SPOOL_DIR" in line for line in said()) == 1


def test_a_file_of_a_later_version_is_left_alone(pipeline, spools, shelf, folder, files):
    folder.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(folder / "traces-0.db")) as later:
        later.execute("PRAGMA user_version=99")
    made = pipeline(spools=spools())
    made.add(Signal.TRACES, None, b"x")
    assert made.shutdown(5).exported == 1
    assert files() == ["traces-0.db"]


def test_what_is_useless_is_tidied_up(pipeline, spools, shelf, folder, files):
    folder.mkdir(parents=True)
    (folder / "traces-0.db-wal").write_bytes(b"its file is gone")
    (folder / "traces-1.db.damaged").touch()
    os.utime(folder / "traces-1.db.damaged", (0, 0))
    (folder / "traces-2.db.damaged").touch()
    (folder / "traces-3.db").touch()
    os.utime(folder / "traces-3.db", (0, 0))
    made = pipeline(spools=spools())
    made.add(Signal.TRACES, None, b"x")
    made.shutdown(5)
    assert files() == ["traces-2.db.damaged"]


def test_a_file_that_another_process_is_making_is_left_to_it(pipeline, spools, shelf, folder, files):
    folder.mkdir(parents=True)
    (folder / "traces-0.db").touch()
    made = pipeline(spools=spools())
    made.add(Signal.TRACES, None, b"x")
    shelf.answers.append(LATER)
    made.shutdown(5)
    assert "traces-0.db" in files()


def test_a_file_that_another_process_removes_while_it_is_opened_is_taken(folder, monkeypatch):
    folder.mkdir(parents=True)
    path = folder / "traces-0.db"
    path.touch()
    connect = sqlite3.connect

    def late(*arguments, **options):
        connection = connect(*arguments, **options)
        path.unlink()
        return connection

    monkeypatch.setattr(spool_file.sqlite3, "connect", late)
    with pytest.raises(Taken):
        Folder(folder, max_bytes=1 << 20, max_age=60).open(path)


def test_a_flush_whose_time_is_almost_over_keeps_on_disk_and_sends_nothing(pipeline, spools, shelf):
    made = pipeline(spools=spools(), schedule_delay=60.0)
    made.every(60, lambda: time.sleep(max(0.0, begin + 1.16 - time.monotonic())))
    made.add(Signal.TRACES, None, b"x")
    begin = time.monotonic()
    assert made.flush(2.0).spooled == 1  # of which 1.2 are for sending
    assert shelf.seen == []


def test_only_the_owner_may_read_what_is_on_disk(pipeline, spools, shelf, folder, eventually):
    made = pipeline(spools=spools("always"), schedule_delay=60.0)
    made.add(Signal.TRACES, None, b"x")
    eventually(lambda: made.health.spool_spans == 1)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_the_last_snapshot_of_totals_is_kept_and_no_other(pipeline, spools, shelf, eventually):
    shelf.answers.extend([LATER] * 100)
    made = pipeline(spools=spools("end"), schedule_delay=0.0)
    made.add(Signal.METRICS, None, b"totals")
    eventually(lambda: shelf.seen)
    made.flush(0.1)
    assert made.health_of(Signal.METRICS).spool_spans == 0
    made.shutdown(0.5)
    assert made.health_of(Signal.METRICS).spool_spans == 1
    shelf.answers.clear()
    other = pipeline(spools=spools("end"))
    other.start()
    other.shutdown(5)
    assert shelf.kept == [(Signal.METRICS, b"totals", 1)]


def test_pipelines_share_a_folder_and_take_each_batch_once(pipeline, spools, shelf, files):
    shelf.answers.extend([LATER] * 1000)
    made = [pipeline(spools=spools("always"), schedule_delay=60.0) for _ in range(4)]
    for number, each in enumerate(made):
        each.add(Signal.TRACES, None, b"%d" % number)
        assert each.flush(0.0).spooled == 1
    assert len([name for name in files() if name.endswith(".db")]) == 4
    for each in made:
        each.shutdown(0.1)
    shelf.answers.clear()
    last = pipeline(spools=spools())
    last.add(Signal.TRACES, None, b"last")
    assert last.shutdown(5).exported == 5
    assert sorted(b"".join(shelf.bodies)) == sorted(b"0123last")
    assert files() == []


def test_short_lives_leave_one_file_not_one_each(pipeline, spools, shelf, files):
    shelf.answers.extend([LATER] * 1000)
    for _ in range(20):
        made = pipeline(spools=spools())
        made.add(Signal.TRACES, None, b"x")
        made.shutdown(0.2)
    assert len(files()) == 1
    assert made.health.spool_spans == 20


OUTCOMES = st.sampled_from(
    [
        ACCEPTED,
        Outcome("accepted", rejected=1, message="one was bad"),
        Outcome("rejected", message="no"),
        Outcome("too_large", message="too much"),
        Outcome("retry", retry_after=0.0, message="later"),
        LATER,
    ]
)


@settings(max_examples=40, deadline=None)
@given(
    answers=st.lists(OUTCOMES, max_size=12),
    sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=25),
    mode=st.sampled_from(["overflow", "always"]),
)
def test_the_account_balances_whatever_the_destination_answers(tmp_path_factory, answers, sizes, mode):
    script = iter(answers)

    class Moody:
        where = "somewhere"
        quiet_before_fork = False

        def export(self, signal, body, count, timeout):
            return next(script, ACCEPTED)

        def close(self):
            pass

    folder = Folder(tmp_path_factory.mktemp("spool") / "it", max_bytes=20_000, max_age=60)
    made = Pipeline(
        Moody(),
        max_queue_bytes=20_000,
        max_batch_items=4,
        max_batch_bytes=6_000,
        export_timeout=1.0,
        spools=lambda signal, ledger: Spool(folder, signal, ledger, mode),
    )
    for size in sizes:
        made.add(Signal.TRACES, None, b"x" * size)
        assert balance(made) == 0
    made.flush(0.2)
    assert balance(made) == 0
    result = made.shutdown(5)
    assert balance(made) == 0
    assert result.waiting == made.health.queue_spans == made.health.queue_bytes == 0
    assert made.health.spool_spans == result.spooled


def test_a_process_that_runs_on_sends_what_another_leaves_meanwhile(pipeline, spools, shelf, eventually, monkeypatch):
    monkeypatch.setattr("mmtrace.transport.spool._LOOK_EVERY", 0.1)
    living = pipeline(spools=spools())
    living.add(Signal.TRACES, None, b"living")
    assert living.flush(5).exported == 1
    shelf.answers.append(LATER)
    dying = pipeline(spools=spools())
    dying.add(Signal.TRACES, None, b"dying")
    assert dying.flush(0.0).spooled == 1
    dying.shutdown(0.0)
    shelf.answers.clear()
    eventually(lambda: b"dying" in shelf.bodies)
    assert living.health.adopted == 1
