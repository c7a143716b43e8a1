"""The folder, as several processes see it; each `Folder` stands for one, since locks are those of open files."""

import os
import signal
import stat
import time
from pathlib import Path

import pytest

from mmtrace.metrics.shared import members
from mmtrace.metrics.shared.folder import Folder
from mmtrace.metrics.shared.locks import FileLock
from mmtrace.recording import guard


@pytest.fixture
def process(tmp_path):
    """Starts one process of the group; they end with the test."""
    begun = []

    def begin(**given):
        begun.append(Folder(str(tmp_path), given.pop("group", "shop-1"), **given))
        return begun[-1]

    yield begin
    for folder in begun:
        die(folder)


@pytest.fixture
def publish(measured):
    """Let a process publish that it counted so many calls; returns what it published."""

    def published(folder, calls, *more, pid=1):
        data = measured.by(pid, measured.counter("calls", calls), *more)
        folder.publish(data)
        return data

    return published


def die(folder):
    """End a process as kill -9 does: its locks are gone, its files stay."""
    for lock in (folder._alive, folder._speaker):
        if lock is not None:
            lock.start_over()
    folder.start_over()


def test_any_process_gives_the_sum_over_all(process, publish, said):
    one, two = process(), process()
    first, second = publish(one, 1, pid=1), publish(two, 10, pid=2)
    assert said(one.total(first)) == said(two.total(second)) == {("calls",): 11}


def test_the_dead_count_once_however_often_they_are_counted(process, publish, said):
    one, two = process(), process()
    publish(two, 10, pid=2)
    first = publish(one, 1)
    die(two)
    assert [said(one.total(first)) for _ in range(3)] == [{("calls",): 11}] * 3
    assert members.members(one.path) == {one._id}


def test_where_the_totals_cannot_be_written_nothing_is_lost_and_nobody_counts_twice(process, publish, said):
    one, two = process(), process()
    first = publish(one, 1)
    one.total(first)
    publish(two, 10, pid=2)
    die(two)
    in_the_way = one.path / f"{members.TOTALS}.{os.getpid()}.new"
    in_the_way.mkdir()
    assert [said(one.total(first)) for _ in range(2)] == [{("calls",): 11}] * 2
    assert guard.faults["metrics.shared.totals"] == 2
    in_the_way.rmdir()
    assert [said(one.total(first)) for _ in range(2)] == [{("calls",): 11}] * 2


def test_who_crashes_between_the_sum_and_the_removal_counts_nobody_twice(process, publish, said, monkeypatch):
    one, two, three = process(), process(), process()
    publish(two, 10, pid=2)
    first = publish(one, 1)
    die(two)
    monkeypatch.setattr(members, "remove", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    pid = os.fork()
    if pid == 0:
        one.total(first)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    monkeypatch.undo()
    die(one)
    third = publish(three, 100, pid=3)
    # The child counted itself as one of the living; it was the copy of `one`, whose snapshot counts for the dead.
    assert said(three.total(third)) == {("calls",): 111}


def test_counters_never_go_backwards_whoever_is_asked(process, publish, said):
    one, two = process(), process()
    seen = []
    for calls in range(1, 20):
        asked, other = (one, two) if calls % 2 else (two, one)
        seen.append(said(asked.total(publish(asked, calls)))["calls",])
        if calls % 5 == 0:
            die(other)
    assert seen == sorted(seen)


def test_instance_and_start_are_the_same_for_all_and_outlive_them(process, publish):
    def told(folder):
        (part,) = folder.total(publish(folder, 1)).resource_metrics
        (point,) = part.scope_metrics[0].metrics[0].data.data_points
        return part.resource.attributes["service.instance.id"], point.start_time_unix_nano

    one, two = process(keep=3600), process(keep=3600)
    first = told(one)
    assert told(two) == first
    one.leave()
    two.leave()
    assert told(process(keep=3600)) == first


def test_an_orderly_end_of_the_last_one_forgets_everything_where_nothing_is_to_be_kept(process, publish, said):
    one, two = process(), process()
    publish(one, 1)
    publish(two, 10)
    one.leave()
    assert members.members(one.path)
    two.leave()
    assert not members.members(one.path)
    three = process()
    assert said(three.total(publish(three, 100))) == {("calls",): 100}


def test_after_a_crash_of_all_the_counters_go_on(process, publish, said):
    one = process()
    publish(one, 1)
    die(one)
    two = process()
    assert said(two.total(publish(two, 10))) == {("calls",): 11}


def test_what_was_left_long_ago_is_forgotten(process, publish, said):
    one = process(keep=10)
    publish(one, 1)
    one.total(publish(one, 1))
    die(one)
    for path in one.path.iterdir():
        os.utime(path, (time.time() - 11, time.time() - 11))
    two = process(keep=10)
    assert said(two.total(publish(two, 10))) == {("calls",): 10}


def test_groups_that_nobody_has_used_for_a_day_are_removed(process, publish):
    old, used = process(group="old"), process(group="used")
    publish(old, 1)
    publish(used, 1)
    for folder in (old, used):
        for path in (*folder.path.iterdir(), folder.path):
            os.utime(path, (time.time() - 90_000, time.time() - 90_000))
    die(old)
    publish(process(), 1)
    assert not old.path.exists()
    assert used.path.exists()


def test_only_who_makes_a_group_looks_after_the_others(process, publish, monkeypatch):
    swept = []
    monkeypatch.setattr(members, "sweep", lambda *where: swept.append(where))
    for _ in range(3):
        publish(process(), 1)
    assert len(swept) == 1


def test_a_snapshot_that_vanishes_while_somebody_looks_is_no_error(process, publish, monkeypatch):
    one, two = process(), process()
    one.total(publish(one, 1))
    publish(two, 1)
    entries = members._entries

    def vanishing(folder):
        found = list(entries(folder))
        members.snapshot(folder, two._id).unlink(missing_ok=True)
        return found

    monkeypatch.setattr(members, "_entries", vanishing)
    assert not one.has_news()


def test_whatever_else_lies_beside_the_groups_does_no_harm(process, publish, said):
    one = process()
    one.path.parent.mkdir(mode=0o700)
    (one.path.parent / "file").write_text("")
    (one.path.parent / "link").symlink_to("/nowhere")
    (one.path.parent / "folder").mkdir(mode=0)
    for name in ("file", "folder"):
        os.utime(one.path.parent / name, (0, 0))
    assert said(one.total(publish(one, 1))) == {("calls",): 1}


def test_the_files_of_many_dead_are_a_reason_to_count_them_and_those_of_many_living_are_none(process, publish):
    one, others = process(), [process() for _ in range(5)]
    first = publish(one, 1)
    for other in others:
        publish(other, 1)
    assert one.is_crowded(most=4)
    one.total(first)
    assert not one.is_crowded(most=4)
    for other in [process() for _ in range(5)]:
        publish(other, 1)
        die(other)
    assert one.is_crowded(most=4)
    one.total(first)
    assert not one.is_crowded(most=4)


def test_one_process_speaks_and_when_it_has_died_another_does(process):
    one, two = process(), process()
    assert (one.claim(), two.claim(), one.claim()) == (True, False, True)
    die(one)
    assert (two.claim(), process().claim()) == (True, False)


def test_who_resigns_learns_what_was_published_meanwhile(process, publish):
    one, two = process(), process()
    one.total(publish(one, 1))
    assert not one.has_news()
    publish(two, 1)
    assert one.has_news()


def test_a_child_neither_lives_for_its_parent_nor_speaks_for_it(process, publish, said):
    one, two = process(), process()
    publish(one, 1)
    assert one.claim()
    waiting, ending = os.pipe()
    reading, begun = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ending)
        os.write(begun, b"x")
        os.read(waiting, 1)
        os._exit(0)
    try:
        os.read(reading, 1)
        die(one)
        assert two.claim()
        assert said(two.total(publish(two, 10))) == {("calls",): 11}
        assert members.members(two.path) == {two._id}
    finally:
        os.close(ending)
        os.waitpid(pid, 0)
        for end in (waiting, reading, begun):
            os.close(end)


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"{}", b'{"format": 99, "resources": []}', b"x" * 100_000])
def test_a_damaged_file_is_set_aside_said_and_not_counted(process, publish, said, content):
    one, two = process(), process()
    publish(two, 10)
    members.snapshot(two.path, two._id).write_bytes(content)
    first = publish(one, 1)
    assert said(one.total(first)) == {("calls",): 1}
    assert guard.faults["metrics.shared.damaged"] == 1
    assert (one.path / "damaged.bad").read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"[]", b'{"format": 1, "resources": [], "instance": "i", "start": "x"}'])
def test_damaged_totals_begin_anew(process, publish, said, content):
    one = process()
    first = publish(one, 1)
    one.total(first)
    (one.path / members.TOTALS).write_bytes(content)
    assert said(one.total(first)) == {("calls",): 1}
    assert said(one.total(first)) == {("calls",): 1}


def test_foreign_files_are_left_alone(process, publish, said):
    one = process()
    first = publish(one, 1)
    (one.path / "README").write_text("hello")
    (one.path / "folder.txt").mkdir()
    assert said(one.total(first)) == {("calls",): 1}
    assert (one.path / "README").exists()


def test_folders_and_files_are_for_one_user_alone(process, publish):
    one = process()
    one.total(publish(one, 1))
    for path in (one.path.parent, one.path, *one.path.iterdir()):
        assert not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO), path


def test_a_link_that_somebody_has_put_there_is_not_followed(process, publish, tmp_path):
    one, elsewhere = process(), tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    one.path.parent.symlink_to(elsewhere)
    with pytest.raises(OSError, match="link"):
        publish(one, 1)
    assert not list(elsewhere.iterdir())


def test_a_folder_that_others_may_write_to_is_not_used(process, publish):
    one = process()
    one.path.parent.mkdir(mode=0o700)
    one.path.parent.chmod(0o777)
    with pytest.raises(PermissionError):
        publish(one, 1)


def test_a_process_that_holds_the_folder_and_does_not_go_on_keeps_nobody_for_ever(process, publish, monkeypatch):
    one = process()
    first = publish(one, 1)
    monkeypatch.setattr("mmtrace.metrics.shared.folder._PATIENCE", 0.05)
    lock = FileLock.take(one.path / members.LOCK)
    try:
        with pytest.raises(TimeoutError, match="does not go on"):
            one.total(first)
    finally:
        lock.release()
    assert one.total(first)


def test_a_folder_that_was_removed_is_made_again(process, publish, said):
    one = process()
    one.total(publish(one, 1))
    for path in one.path.iterdir():
        path.unlink()
    one.path.rmdir()
    assert said(one.total(publish(one, 2))) == {("calls",): 2}
    assert one.claim()


def test_containers_whose_processes_have_the_same_id_are_told_apart(process, publish, measured, said):
    one, two = process(), process()
    data = [measured.by(7, measured.gauge("load", load), instance=f"c{load}") for load in (1, 2)]
    one.publish(data[0])
    two.publish(data[1])
    assert said(one.total(data[0])) == {
        ("load", ("process.pid", 7)): 1,
        ("load", ("process.pid", 7), ("service.instance.id", "c2")): 2,
    }


def test_a_lock_whose_file_was_removed_is_no_lock(tmp_path):
    path = tmp_path / "lock"
    first = FileLock.take(path)
    path.unlink()
    assert not first.is_in_place()
    second = FileLock.take(path)
    assert second.is_in_place()
    assert FileLock.take(path) is None
    first.release()
    assert FileLock.take(path) is None
    second.release()


def test_no_open_file_is_left(process, publish):
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        one, two = process(), process()
        publish(two, 1)
        one.claim()
        one.total(publish(one, 1))
        one.leave()
        two.leave()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
