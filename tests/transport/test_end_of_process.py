"""However a process ends in an orderly way, what it recorded is delivered, once and in time."""

import http.server
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

SOURCE = str(Path(__file__).parents[2] / "src")

PRELUDE = """
import atexit, multiprocessing, os, sys, threading, time
from mmtrace.export.otlp_http import OtlpHttp
from mmtrace.export.target import Target
from mmtrace.transport import Pipeline, Signal
from mmtrace.transport.lifetime import Ending

url = os.environ["RECEIVER"] + "/v1/traces"
pipeline = Pipeline(OtlpHttp({Signal.TRACES: Target(url)}), schedule_delay=60)
ending = Ending(pipeline.shutdown, 5.0, pipeline.hurry)

def record(name):
    pipeline.add(Signal.TRACES, None, f"<{name}>".encode())
"""


@pytest.fixture
def receiver():
    """A real HTTP server; `receiver.got` are the names that arrived."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.server.got.extend(body.strip("<>").split("><"))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.got = []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def run(receiver, tmp_path):
    """Runs a program after the prelude, in a process of its own."""

    def start(program, *, url=None, status=0):
        script = tmp_path / "program.py"
        script.write_text(PRELUDE + textwrap.dedent(program))
        begin = time.monotonic()
        environ = {**os.environ, "PYTHONPATH": SOURCE, "RECEIVER": url or receiver.url}
        done = subprocess.run(
            [sys.executable, str(script)], env=environ, capture_output=True, text=True, timeout=300, check=False
        )
        done.seconds = time.monotonic() - begin
        assert done.returncode == status, done.stderr
        return done

    return start


def test_a_normal_end_delivers(run, receiver):
    done = run("record('a'); record('b')")
    assert receiver.got == ["a", "b"]
    assert done.stderr == ""


def test_sys_exit_delivers(run, receiver):
    run("record('a'); sys.exit(3)", status=3)
    assert receiver.got == ["a"]


def test_an_exception_delivers(run, receiver):
    run("record('a'); raise RuntimeError('bye')", status=1)
    assert receiver.got == ["a"]


def test_what_atexit_callbacks_of_the_application_record_is_delivered(run, receiver):
    run("record('a'); atexit.register(record, 'late')")
    assert receiver.got == ["a", "late"]


def test_what_threads_record_after_the_main_thread_is_done_is_delivered(run, receiver):
    run(
        """
        def work():
            time.sleep(0.3)
            record('thread')

        record('main')
        threading.Thread(target=work).start()
        """
    )
    assert sorted(receiver.got) == ["main", "thread"]


def test_what_waits_leaves_while_other_threads_are_still_joined(run, receiver):
    run(
        """
        record('main')
        time.sleep(0.1)

        def work():
            deadline = time.monotonic() + 5
            while pipeline.health.exported == 0 and time.monotonic() < deadline:
                time.sleep(0.01)
            record(f'saw {pipeline.health.exported}')

        threading.Thread(target=work).start()
        """
    )
    assert receiver.got == ["main", "saw 1"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_deliver(run, receiver, method):
    run(
        f"""
        def work(name):
            record(name)

        if __name__ == "__main__":
            record('parent')
            start = multiprocessing.get_context({method!r})
            children = [start.Process(target=work, args=(f'child {{number}}',)) for number in range(3)]
            for child in children:
                child.start()
            for child in children:
                child.join()
                assert child.exitcode == 0
        """
    )
    assert sorted(receiver.got) == ["child 0", "child 1", "child 2", "parent"]


def test_children_deliver_where_multiprocessing_was_imported_before(run, receiver):
    run(
        """
        ending.cancel()
        import multiprocessing.util
        ending = Ending(pipeline.shutdown, 5.0)
        child = multiprocessing.get_context("fork").Process(target=record, args=("child",))
        child.start()
        child.join()
        """
    )
    assert receiver.got == ["child"]


def test_a_forked_child_that_ends_normally_delivers_only_its_own(run, receiver):
    run(
        """
        record('parent')
        pid = os.fork()
        if pid == 0:
            record('child')
            sys.exit()
        os.waitpid(pid, 0)
        """
    )
    assert sorted(receiver.got) == ["child", "parent"]


def test_an_ending_that_was_cancelled_does_nothing(run, receiver):
    run("record('a'); print(pipeline.shutdown(5).exported); ending.cancel()")
    assert receiver.got == ["a"]


def test_the_end_is_reached_once(run):
    done = run(
        """
        ending.cancel()
        ending = Ending(lambda timeout: print("ended", timeout), 5.0)
        ending.end()
        """
    )
    assert done.stdout == "ended 5.0\n"


def test_a_thread_that_never_started_is_not_needed_at_the_end(run, receiver):
    """Threads cannot be started any more while the interpreter ends, from Python 3.12 on."""
    done = run("pipeline.every(60, lambda: record('last snapshot')); ending.cancel(); Ending(pipeline.shutdown, 5.0)")
    assert receiver.got == ["last snapshot"]
    assert done.stderr == ""


def test_a_receiver_that_is_away_delays_the_end_little_and_is_told_of_once(run):
    done = run(
        """
        import logging
        logging.basicConfig()
        ending.cancel()
        ending = Ending(pipeline.shutdown, 40.0)
        record('a')
        """,
        url="http://127.0.0.1:1",
    )
    assert done.seconds < 20
    assert done.stderr.count("WARNING") == 1
    assert "cannot be reached" in done.stderr


def test_a_receiver_that_hangs_delays_the_end_by_the_deadline_at_most(run):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = run(
            """
            ending.cancel()
            ending = Ending(pipeline.shutdown, 1.0)
            record('a')
            """,
            url=f"http://127.0.0.1:{silent.getsockname()[1]}",
        )
    assert done.seconds < 8


def test_a_process_that_recorded_nothing_ends_at_once(run, receiver):
    done = run("")
    assert receiver.got == []
    assert done.stderr == ""
