"""A program that sends over gRPC and forks: no child hangs and nothing is lost, whatever gRPC was told about forks."""

import itertools
from collections import Counter

import grpc
import pytest

from processes.programs import RUN, Outcomes, Program, environment
from receiver import Receiver

CHILDREN = 3
IDLE = """
work("before")
import mmtrace
mmtrace.flush()
"""
BUSY = """
import itertools, threading
stop = threading.Event()
def load():
    while not stop.is_set():
        work("load")
threading.Thread(target=load).start()
work("before")
"""
OWN_SERVER = """
import grpc
from concurrent.futures import ThreadPoolExecutor
server = grpc.server(ThreadPoolExecutor(2))
server.add_insecure_port("127.0.0.1:0")
server.start()
work("before")
"""
BEGIN = """
import os, sys, time
from opentelemetry import trace

def work(name):
    with trace.get_tracer("test").start_as_current_span(name):
        pass
"""
FORK = """
stop = globals().get("stop")
for number in range({children}):
    time.sleep(0.05)
    pid = os.fork()
    if pid == 0:
        work(f"child {{number}}")
        import mmtrace
        sys.exit()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
work("after")
if stop:
    stop.set()
"""
PARENTS = {"idle": IDLE, "with calls in flight": BUSY, "with a server of its own": OWN_SERVER}
CASES = {
    f"{parent}, GRPC_ENABLE_FORK_SUPPORT {said or 'unset'}": (source, said)
    for (parent, source), said in itertools.product(PARENTS.items(), ("", "0", "1"))
}


@pytest.fixture(scope="module")
def outcomes(request, tmp_path_factory):
    """How often a span of each name has arrived."""

    def run(name, case):
        source, said = case
        folder = tmp_path_factory.mktemp("forks")
        (folder / "program.py").write_text(BEGIN + source + FORK.format(children=CHILDREN))
        more = {"OTEL_BSP_SCHEDULE_DELAY": "20", "MMTRACE_SERVICE": name}
        if said:
            more["GRPC_ENABLE_FORK_SUPPORT"] = said
        program = Program((*RUN, "python", "program.py"), environment(receiver, folder, "grpc", **more), folder)
        try:
            code, _ = program.wait()
        finally:
            program.kill()
        assert code == 0, program.log
        return receiver.span_names(name)

    with Receiver() as receiver:
        yield Outcomes(request, run, CASES)


of_a_grpc_that_crashes = pytest.mark.xfail(
    tuple(map(int, grpc.__version__.split(".")[:2])) < (1, 83),
    reason="before gRPC 1.83 such a program, or a child of it, may crash",
    strict=False,
)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=of_a_grpc_that_crashes if "server" in name else ()) for name in CASES]
)
def test_every_child_and_the_parent_deliver(name, outcomes):
    names = outcomes[name]
    names.pop("load", None)
    assert names == Counter(["before", "after", *(f"child {number}" for number in range(CHILDREN))])
