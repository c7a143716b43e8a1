"""The processes of a benchmark: one for each side and state, all on one core, and a receiver on another."""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sides import environment

HERE = Path(__file__).parent
OWN = ("OTEL_", "MMTRACE_", "DD_")
UNTRACED = ("untraced", "untraced")


@contextmanager
def process(script, *arguments, **variables):
    """Run a script of this folder and give it, and the first line that it prints; it ends with its standard input.

    What it logs is shown only if it fails: a receiver that is away makes some sides talk a lot.
    """
    known = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
    command = [sys.executable, str(HERE / script), *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, env=known | variables, stderr=log, **pipes) as running,
    ):
        try:
            yield running, first_line(running)
        except EOFError:
            log.seek(0)
            raise SystemExit(f"{' '.join(command)} failed:\n{log.read()}") from None
        finally:
            with suppress(BrokenPipeError):
                running.stdin.close()
            running.stdout.read()


def first_line(running):
    line = running.stdout.readline()
    if not line:
        raise EOFError
    return line


class Receiver:
    """Where a receiver listens, and how many spans of each service it has got."""

    def __init__(self, port):
        self.endpoint = f"http://127.0.0.1:{port}"

    def spans(self):
        with urllib.request.urlopen(self.endpoint) as answer:
            return json.load(answer)


@contextmanager
def receiver():
    """Run a receiver that accepts everything."""
    with process("sink.py") as (_, port):
        yield Receiver(int(port))


@contextmanager
def nobody():
    """Give the address of a receiver that is away: the port is taken, and every connection is refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@contextmanager
def worker(side, state, endpoint, **variables):
    """Run one side in one state; its spans belong to the service `side state`, and its files end with it."""
    with tempfile.TemporaryDirectory() as folder:
        files = {"MMTRACE_SPOOL_DIR": folder, "MMTRACE_METRICS_DIR": folder}
        variables = environment(side, state, endpoint, f"{side} {state}") | files | variables
        with process("worker.py", side, state, **variables) as (running, _):
            yield running


@contextmanager
def workers(sides, states, endpoint):
    """Run every side in every state, and one untraced: {(side, state): worker}."""
    pairs = [UNTRACED, *((side, state) for state in states for side in sides)]
    with ExitStack() as stack:
        yield {pair: stack.enter_context(worker(*pair, endpoint)) for pair in pairs}


def ask(running, measure, **arguments):
    """Let a worker measure, and return what it answers."""
    running.stdin.write(json.dumps({"measure": measure, **arguments}) + "\n")
    running.stdin.flush()
    return json.loads(first_line(running))


def end(running):
    """Let a worker end as a program does; return how many seconds that took and the last line that it printed."""
    began = time.perf_counter()
    running.stdin.close()
    last = json.loads(first_line(running))
    running.wait()
    return time.perf_counter() - began, last


def rounds_of(workers, rounds, measure, **arguments):
    """Ask every worker in turn, so that whatever else the machine does hits all of them; return the medians."""
    answers = {pair: [] for pair in workers}
    for _ in range(rounds):
        for pair, running in workers.items():
            answers[pair].append(ask(running, measure, **arguments))
    return {pair: medians(found) for pair, found in answers.items()}


def medians(answers):
    """Return the median of each figure, and the sum of `calls`."""
    middle = {key: statistics.median(answer[key] for answer in answers) for key in answers[0]}
    return middle | {"calls": sum(answer["calls"] for answer in answers)}
