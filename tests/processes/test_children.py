"""Work in processes that live for one task, under every start method: one trace, and nothing missing from it."""

import json
import sys
from dataclasses import dataclass

import pytest

from processes.programs import RUN, Outcomes, Program, environment
from receiver import Receiver

TASKS = {"fork": 60, "forkserver": 60, "spawn": 8}
"""How many tasks; a spawned process loads everything anew."""
BEGIN = """
import json, multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
from opentelemetry import trace

tracer = trace.get_tracer("test")

def work(number):
    with tracer.start_as_current_span(f"task {{number}}"):
        return os.getpid()

def send(number, connection):
    connection.send(work(number))

def processes(start):
    pids = []
    for first in range(0, {tasks}, 4):
        pipes = [start.Pipe(duplex=False) for _ in range(4)]
        children = [start.Process(target=send, args=(first + i, pipes[i][1])) for i in range(4)]
        for child in children:
            child.start()
        pids += [ours.recv() for ours, _ in pipes]
        for child in children:
            child.join()
            assert child.exitcode == 0
    return pids

def pool(start):
    with start.Pool(4, maxtasksperchild=1) as made:
        pids = made.map(work, range({tasks}), chunksize=1)
        made.close()
        made.join()
    return pids

def executor(start):
    with ProcessPoolExecutor(4, mp_context=start, **{options}) as made:
        return list(made.map(work, range({tasks})))

if __name__ == "__main__":
    with tracer.start_as_current_span("all"):
        print(json.dumps({way}(multiprocessing.get_context("{method}"))))
"""
CONFIGURED = """
import mmtrace
if __name__ == "__main__":
    mmtrace.configure()
    mmtrace.instrument()
"""


@dataclass
class Case:
    """Which function starts the processes, and how; whether each lives for one task; where telemetry goes."""

    way: str
    method: str
    one_task: bool = True
    protocol: str = "http"


CASES = {
    **{f"{way} by {method}": Case(way, method) for way in ("processes", "pool") for method in ("fork", "spawn")},
    "processes by forkserver": Case("processes", "forkserver"),
    "pool by forkserver, gRPC": Case("pool", "forkserver", protocol="grpc"),
    "pool by fork, gRPC": Case("pool", "fork", protocol="grpc"),
    "executor by fork": Case("executor", "fork", one_task=False),
    "executor by spawn, one task each": Case("executor", "spawn"),
    "executor by forkserver": Case("executor", "forkserver", one_task=False),
    "processes by spawn, configured by the program": Case("processes", "spawn"),
    "pool by fork, configured by the program": Case("pool", "fork"),
}
of_each_case = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.skipif(sys.version_info < (3, 11), reason="max_tasks_per_child is new"))
        if case.one_task and case.way == "executor"
        else name
        for name, case in CASES.items()
    ],
)


@pytest.fixture(scope="module")
def outcomes(request, tmp_path_factory):
    """The processes that worked, and the spans, of each case."""

    def run(name, case):
        folder = tmp_path_factory.mktemp("children")
        options = {"max_tasks_per_child": 1} if case.one_task and case.way == "executor" else {}
        source = BEGIN.format(tasks=TASKS[case.method], way=case.way, method=case.method, options=options)
        configured = "configured" in name
        (folder / "program.py").write_text((CONFIGURED if configured else "") + source)
        command = (*(() if configured else RUN), "python", "program.py")
        program = Program(command, environment(receiver, folder, case.protocol, MMTRACE_SERVICE=name), folder)
        try:
            code, _ = program.wait()
        finally:
            program.kill()
        assert code == 0, program.log
        return json.loads(program.log), [span for span in receiver.spans() if span.service == name]

    with Receiver() as receiver:
        yield Outcomes(request, run, CASES)


@of_each_case
def test_every_task_is_in_the_trace_of_its_root(name, outcomes):
    _, spans = outcomes[name]
    tasks_done = TASKS[CASES[name].method]
    (root,) = [span for span in spans if span.name == "all"]
    tasks = [span for span in spans if span is not root]
    assert sorted(span.name for span in tasks) == sorted(f"task {number}" for number in range(tasks_done))
    assert {span.parent_span_id for span in tasks} == {root.span_id}
    assert {span.trace_id for span in spans} == {root.trace_id}


@of_each_case
def test_each_process_is_an_instance_of_its_own(name, outcomes):
    pids, spans = outcomes[name]
    instances = {}
    for span in spans:
        instances.setdefault(span.resource.attributes["process.pid"], set()).add(
            span.resource.attributes["service.instance.id"]
        )
    assert set(pids) == set(instances) - {
        span.resource.attributes["process.pid"] for span in spans if span.name == "all"
    }
    assert all(len(found) == 1 for found in instances.values())
    assert len(set.union(*instances.values())) == len(instances)
    assert not CASES[name].one_task or len(set(pids)) == TASKS[CASES[name].method]
