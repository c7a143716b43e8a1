"""The ways in which a program may end, and what has arrived by then."""

from dataclasses import dataclass

import pytest

from processes.programs import RUN, Outcomes, Program, environment
from receiver import Receiver

BEGIN = """
import asyncio, atexit, os, signal, sys, threading, time, weakref
from concurrent.futures import ThreadPoolExecutor
from opentelemetry import trace

def work():
    with trace.get_tracer("test").start_as_current_span("work"):
        pass

def soon(number):
    threading.Timer(0.2, os.kill, (os.getpid(), number)).start()

class Thing:
    pass

work()
"""


@dataclass
class Case:
    """What a program does last, its exit code, and how many spans it recorded."""

    last: str
    code: int = 0
    spans: int = 1
    protocol: str = "http"


FORK = "if os.fork() == 0: work(); sys.exit(0)\nos.wait()"
BUSY_FORK = f"threading.Thread(target=time.sleep, args=(0.5,)).start()\n{FORK}"
CASES = {
    "normal end": Case(""),
    "normal end, gRPC": Case("", protocol="grpc"),
    "sys.exit": Case("sys.exit(3)", code=3),
    "exception": Case("raise RuntimeError('mine')", code=1),
    "sys.exit in a thread": Case("threading.Thread(target=lambda: (work(), sys.exit(3))).start()", spans=2),
    "exception in a thread": Case("threading.Thread(target=lambda: (work(), 1 / 0)).start()", spans=2),
    "a thread that outlives the main one": Case("threading.Timer(0.3, work).start()", spans=2),
    "a pool of threads that nobody closes": Case("ThreadPoolExecutor(2).submit(work)", spans=2),
    "atexit": Case("atexit.register(work)", spans=2),
    "weakref.finalize": Case("thing = Thing(); weakref.finalize(thing, work)", spans=2),
    "handled SIGTERM": Case("signal.signal(15, lambda *_: sys.exit(4)); soon(15); time.sleep(9)", code=4),
    "SIGINT": Case("soon(2); time.sleep(9)", code=-2),
    "SIGINT in asyncio": Case("soon(2); asyncio.run(asyncio.sleep(9))", code=-2),
    "SIGTERM in asyncio": Case("soon(15); asyncio.run(asyncio.sleep(9))", code=-15),
    "SIGTERM in asyncio, gRPC": Case("soon(15); asyncio.run(asyncio.sleep(9))", code=-15, protocol="grpc"),
    "a fork that ends normally": Case(FORK, spans=2),
    "a fork that ends normally, gRPC": Case(FORK, spans=2, protocol="grpc"),
    "a fork while threads run": Case(BUSY_FORK, spans=2),
    "a fork while threads run, gRPC": Case(BUSY_FORK, spans=2, protocol="grpc"),
    "a fork that outlives its parent": Case("if os.fork() == 0: time.sleep(0.5); work()", spans=2),
    "a fork of a fork": Case("if os.fork() == 0 and os.fork() == 0: work()", spans=2),
}


@pytest.fixture(scope="module")
def outcomes(request, tmp_path_factory):
    """The exit code and the spans of each program."""

    def run(name, case):
        folder = tmp_path_factory.mktemp("program")
        (folder / "program.py").write_text(f"{BEGIN}\n{case.last}\n")
        program = Program(
            (*RUN, "python", "program.py"), environment(receiver, folder, case.protocol, MMTRACE_SERVICE=name), folder
        )
        try:
            code, _ = program.wait()
        finally:
            program.kill()
        return code, [span for span in receiver.spans() if span.service == name]

    with Receiver() as receiver:
        yield Outcomes(request, run, CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_program_that_ends_in_order_has_sent_all_that_it_recorded(name, outcomes):
    code, spans = outcomes[name]
    assert (code, len(spans)) == (CASES[name].code, CASES[name].spans)


@pytest.mark.parametrize("name", [name for name in CASES if "fork" in name])
def test_a_fork_is_an_instance_of_its_own(name, outcomes):
    _, spans = outcomes[name]
    assert len({span.resource.attributes["service.instance.id"] for span in spans}) == 2
    assert len({span.resource.attributes["process.pid"] for span in spans}) == 2
