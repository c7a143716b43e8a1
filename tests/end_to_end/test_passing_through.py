"""`mmtrace run` becomes the program: nothing stands between it and who started it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

MMTRACE = str(Path(sys.executable).with_name("mmtrace"))

CHILDREN = """
import multiprocessing
from opentelemetry import trace

def work():
    with trace.get_tracer("test").start_as_current_span("work"):
        pass

if __name__ == "__main__":
    work()
    process = multiprocessing.get_context("spawn").Process(target=work)
    process.start()
    process.join()
"""


@pytest.fixture
def start(receiver):
    started = []

    def start(*command):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen([MMTRACE, "run", *command], env=receiver.environment, text=True, **pipes)
        started.append(process)
        return process

    yield start
    for process in started:
        with process:
            process.kill()


def test_arguments_arrive_as_they_were_given(start):
    given = ["two words", "", "*", "$HOME", "--report", "--", "'quoted\"", "new\nline"]
    out, _ = start("python", "-c", "import json, sys; print(json.dumps(sys.argv[1:]))", *given).communicate(timeout=300)
    assert json.loads(out) == given


def test_standard_input_is_the_programs(start):
    out, _ = start("python", "-c", "print(input() + input())").communicate("first\nsecond\n", timeout=300)
    assert out == "firstsecond\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_reaches_the_program_itself(start, number):
    source = f"""
import os, signal
signal.signal({int(number)}, lambda *_: (print("got it", flush=True), os._exit(3)))
print(os.getpid(), flush=True)
while True:
    signal.pause()
"""
    process = start("python", "-c", source)
    assert int(process.stdout.readline()) == process.pid
    process.send_signal(number)
    assert process.wait(300) == 3
    assert process.stdout.read() == "got it\n"


def test_a_program_that_is_no_python_runs_as_ever(start):
    process = start("sh", "-c", 'read line; echo "$line"; exit 4')
    assert process.communicate("hello\n", timeout=300) == ("hello\n", "")
    assert process.returncode == 4


def test_processes_in_which_no_code_of_the_program_runs_are_left_alone(start, receiver, tmp_path, monkeypatch):
    monkeypatch.setenv("MMTRACE_METRICS_SHARED", "false")
    (tmp_path / "program.py").write_text(CHILDREN)
    assert start("python", str(tmp_path / "program.py")).wait(300) == 0
    assert len(receiver.spans()) == 2
    assert len({process for process, _ in receiver.metrics()}) == 2
