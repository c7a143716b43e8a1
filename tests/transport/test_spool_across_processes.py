"""Processes of one service share a folder: whatever ends one of them, the next one sends what it left, once."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from ports import free_port
from receiver import Receiver
from rude import Rude, read_request, reset

SOURCE = str(Path(__file__).parents[2] / "src")
PRELUDE = """
import logging, os, sys, time
logging.basicConfig(format="%(message)s")
import mmtrace
mmtrace.configure(service="reranker")

def record(name):
    with mmtrace.span(name):
        pass
"""


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def start(state):
    """Starts a program after the prelude; whatever still runs is ended with the test."""
    started = []

    def start(program, url, *, spool="overflow", **environ):
        environ = {
            **os.environ,
            "PYTHONPATH": SOURCE,
            "XDG_STATE_HOME": str(state),
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "MMTRACE_SPOOL": spool,
            **environ,
        }
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", PRELUDE + textwrap.dedent(program)],
                env=environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def run(start):
    """Runs a program to its end; returns what it printed and said."""

    def run(program, url, *, status=0, **options):
        process = start(program, url, **options)
        out, err = process.communicate(timeout=300)
        assert process.returncode == status, err
        return out, err

    return run


@pytest.fixture
def nobody():
    """The address of a port at which nobody listens."""
    return f"http://127.0.0.1:{free_port()}"


def names(receiver):
    return sorted(span.name for span in receiver.spans())


def files(state):
    return sorted(path.name for path in (state / "mmtrace" / "spool" / "reranker").glob("*"))


def test_eight_thousand_spans_without_a_receiver_are_all_delivered_once_by_the_next_process(
    run, receiver, nobody, state
):
    out, err = run(
        """
        for number in range(8000):
            record(f"span {number}")
            if number % 100 == 0:
                time.sleep(0.01)
        print(mmtrace.shutdown())
        """,
        nobody,
    )
    assert "spooled=8000, dropped=0, waiting=0" in out
    assert err.count("\n") == 1
    assert "cannot be reached" in err
    run("record('next')", receiver.url)
    assert names(receiver) == sorted([f"span {number}" for number in range(8000)] + ["next"])
    assert files(state) == []


def test_kill_loses_no_more_than_the_last_tenth_of_a_second(start, run, nobody, state):
    chance = random.Random()
    recorded = {}
    with Receiver() as receiver:
        for attempt in range(8):
            process = start(
                f"""
                number = 0
                while True:
                    record(f"{attempt} {{number}}")
                    print(number, time.monotonic(), flush=True)
                    number += 1
                    time.sleep(0.001)
                """,
                receiver.url if attempt % 2 else nobody,
                spool="always",
            )
            process.stdout.readline()
            time.sleep(chance.uniform(0.05, 1.0))
            process.send_signal(signal.SIGKILL)
            killed = time.monotonic()
            for line in process.stdout.read().splitlines():
                number, _, moment = line.partition(" ")
                if moment:
                    recorded[f"{attempt} {number}"] = killed - float(moment)
        run("record('last')", receiver.url)
    delivered = names(receiver)
    assert len(delivered) == len(set(delivered))
    lost = set(recorded) - set(delivered)
    assert max((recorded[name] for name in lost), default=0.0) < 1.0  # a tenth, and what a busy machine takes
    assert len(delivered) > 8
    assert files(state) == []


SILENT = {
    "accepts and never answers": lambda connection: wait_for_the_end(connection),
    "answers byte by byte": lambda connection: read_request(connection) and drip(connection),
    "resets": lambda connection: reset(connection),
}


def wait_for_the_end(connection):
    while connection.recv(1 << 16):
        pass


def drip(connection):
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000:
        connection.sendall(bytes([byte]))
        time.sleep(0.1)


@pytest.mark.parametrize("how", SILENT)
def test_a_receiver_that_does_not_do_its_part_delays_the_end_little_and_loses_nothing(run, receiver, how):
    with Rude(SILENT[how]) as rude:
        out, _ = run(
            """
            for number in range(1500):
                record(f"span {number}")
            began = time.monotonic()
            print(mmtrace.shutdown())
            print(time.monotonic() - began)
            """,
            rude.url,
            OTEL_METRICS_EXPORTER="none",
        )
    result, seconds = out.splitlines()
    assert "exported=0, spooled=1500, dropped=0, waiting=0" in result
    assert float(seconds) < 10
    run("record('next')", receiver.url)
    assert len(names(receiver)) == len(set(names(receiver))) == 1501


def test_an_outage_loses_nothing_and_the_account_balances_all_the_time(start, nobody, state):
    port = int(nobody.rpartition(":")[2])
    process = start(
        """
        for number in range(3000):
            record(f"span {number}")
            time.sleep(0.001)
        print(number, flush=True)
        deadline = time.monotonic() + 30
        from mmtrace._configure import destinations
        while True:
            (health,) = destinations().values()
            kept = health.exported + sum(health.dropped.values()) + health.queue_spans + health.spool_spans
            assert health.started == kept, health
            if health.exported == 3000 or time.monotonic() > deadline:
                break
            time.sleep(0.01)
        print(health.exported, health.spool_spans)
        """,
        nobody,
        OTEL_METRICS_EXPORTER="none",
    )
    assert process.stdout.readline() == "2999\n"
    with Receiver(port=port) as receiver:
        exported, on_disk = process.stdout.readline().split()
        process.communicate()
    assert (exported, on_disk) == ("3000", "0")
    assert len(names(receiver)) == len(set(names(receiver))) == 3000
    assert files(state) == []


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("spool", ["overflow", "always"])
def test_a_full_disk_is_said_once_and_what_fits_is_kept(run, receiver, nobody, small_disk, spool):
    out, err = run(
        """
        for number in range(6000):
            with mmtrace.span(f"span {number}", attributes={"text": os.urandom(500).hex()}):
                pass
            if number % 100 == 0:
                time.sleep(0.01)
        from mmtrace import _configure
        (pipeline,) = _configure._Process.parts.pipelines
        mmtrace.shutdown()
        health = pipeline.health
        print(health.exported, health.spool_spans, sum(health.dropped.values()), health.queue_spans)
        """,
        nobody,
        spool=spool,
        MMTRACE_SPOOL_DIR=str(small_disk),
        OTEL_METRICS_EXPORTER="none",
    )
    exported, spooled, dropped, waiting = map(int, out.split())
    assert (exported, waiting) == (0, 0)
    assert spooled + dropped == 6000
    assert spooled > 100
    assert err.count("or its disk is full") == 1
    run("record('next')", receiver.url, MMTRACE_SPOOL_DIR=str(small_disk))
    assert len(names(receiver)) == len(set(names(receiver))) == spooled + 1
    assert list((small_disk / "reranker").iterdir()) == []


def test_a_full_disk_does_not_keep_from_delivering(run, receiver, small_disk):
    (small_disk / "filler").write_bytes(bytes((1 << 20) - 4096))
    out, _ = run(
        """
        for number in range(2000):
            record(f"span {number}")
        print(mmtrace.shutdown())
        """,
        receiver.url,
        spool="always",
        MMTRACE_SPOOL_DIR=str(small_disk),
    )
    assert "spooled=0, dropped=0, waiting=0" in out
    assert len(names(receiver)) == 2000


def test_a_folder_that_cannot_be_written_is_said_once_with_the_setting_to_change(run, nobody, small_disk):
    (small_disk / "reranker").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    out, err = run(
        """
        record("span")
        print(mmtrace.shutdown(1))
        """,
        nobody,
        MMTRACE_SPOOL_DIR=str(small_disk),
        OTEL_METRICS_EXPORTER="none",
    )
    assert "exported=0, spooled=0, dropped=1, waiting=0" in out
    assert err.count("MMTRACE_SPOOL_DIR") == 1


@pytest.mark.parametrize("spool", ["overflow", "always"])
def test_a_forked_child_neither_touches_nor_sends_what_its_parent_keeps(run, receiver, nobody, state, spool):
    out, _ = run(
        """
        for number in range(300):
            record(f"parent {number}")
        mmtrace.flush(0.5)
        for number in range(20):
            record(f"while forking {number}")
            pid = os.fork()
            if pid == 0:
                record(f"child {number}")
                kept = mmtrace.shutdown(0.5)
                sys.exit(kept.exported + kept.dropped + kept.waiting)
            assert os.waitpid(pid, 0)[1] == 0
        print(mmtrace.shutdown())
        """,
        nobody,
        spool=spool,
        OTEL_METRICS_EXPORTER="none",
    )
    assert "spooled=320, dropped=0, waiting=0" in out
    run("record('next')", receiver.url)
    delivered = names(receiver)
    assert len(delivered) == len(set(delivered)) == 341
    assert files(state) == []


def test_processes_that_are_killed_at_any_moment_leave_every_batch_to_exactly_one_other(start, run, nobody, state):
    """Six processes at a time write to one folder, take over from each other, and are killed."""
    chance = random.Random()
    program = """
    number = 0
    while True:
        record(f"{os.getpid()} {number}")
        if number % 20 == 0:
            kept = mmtrace.flush(0.0)
            if not kept.waiting and not kept.dropped:
                print(os.getpid(), number, flush=True)
        number += 1
    """
    kept = []
    for _ in range(3):
        processes = [start(program, nobody, OTEL_METRICS_EXPORTER="none") for _ in range(6)]
        for process in processes:
            process.stdout.readline()
        for process in processes:
            time.sleep(chance.uniform(0.0, 0.2))
            process.kill()
        for process in processes:
            lines = process.stdout.read().splitlines()
            kept += [line for line in lines if line.count(" ") == 1]
    with Receiver() as receiver:
        for _ in range(20):
            run("record(f'last {time.time()}')", receiver.url)
            if not files(state):
                break
    delivered = names(receiver)
    assert len(delivered) == len(set(delivered))
    assert len(kept) > 18
    assert set(kept) <= set(delivered)
    assert files(state) == []


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"MMTRACE_TEMPORALITY": "delta"}, True),
        ({"MMTRACE_METRICS_SHARED": "false"}, True),
        ({}, False),
    ],
)
def test_metrics_are_kept_where_no_other_snapshot_says_the_same(run, receiver, nobody, state, settings, kept):
    run(
        """
        with mmtrace.model_call("reranker"):
            pass
        """,
        nobody,
        OTEL_TRACES_EXPORTER="none",
        **settings,
    )
    assert [name.partition("-")[0] for name in files(state)] == ["metrics"] * kept
    run("with mmtrace.model_call('reranker'): pass", receiver.url, **settings)
    assert receiver.histogram("mmtrace.model.call.duration")["reranker"] >= 1
    assert files(state) == []


def test_log_records_are_kept_like_spans(run, receiver, nobody, state):
    program = """
    logging.getLogger("shop").warning("{}")
    print(mmtrace.shutdown())
    """
    options = {"MMTRACE_LOG_HANDLERS": "otlp", "OTEL_METRICS_EXPORTER": "none"}
    out, _ = run(program.format("first"), nobody, **options)
    assert "spooled=1" in out
    run(program.format("second"), receiver.url, **options)
    assert {"first", "second"} <= set(receiver.log_bodies())
    assert files(state) == []
