"""Celery as its users start it, in prefork pools whose processes live for one task, or until the worker is stopped."""

import json
import shlex
import subprocess
import sys
from dataclasses import dataclass

import pytest

from processes.programs import RUN, Outcomes, Program, environment
from receiver import Receiver

TASKS = 12
APP = """
import os
from celery import Celery
from opentelemetry import trace

app = Celery("tasks", broker="filesystem://", backend="file://" + os.environ["FOLDER"])
app.conf.broker_transport_options = {
    "data_folder_in": os.environ["FOLDER"],
    "data_folder_out": os.environ["FOLDER"],
    "control_folder": os.environ["FOLDER"] + "/control",
}

@app.task
def work(number):
    with trace.get_tracer("test").start_as_current_span(f"task {number}"):
        return os.getpid()

if __name__ == "__main__":
    import json
    results = [work.delay(number) for number in range(TASKS)]
    print(json.dumps([result.get(timeout=250) for result in results]))
"""
CONFIGURED = "import mmtrace; mmtrace.configure(); mmtrace.instrument()\n"


@dataclass
class Case:
    """More options of the worker, where its telemetry goes, and what the module begins with."""

    options: str
    protocol: str = "http"
    begin: str = ""


CASES = {
    "one task each": Case("-c 2 --max-tasks-per-child 1"),
    "one task each, gRPC": Case("-c 2 --max-tasks-per-child 1", "grpc"),
    "one task each, configured by the application": Case("-c 2 --max-tasks-per-child 1", begin=CONFIGURED),
    "two processes": Case("-c 2"),
    "threads": Case("-c 2 -P threads"),
    "solo": Case("-P solo"),
    "gevent": Case("-c 2 -P gevent"),
}


@pytest.fixture(scope="module")
def outcomes(request, tmp_path_factory):
    """The processes that worked, and the spans, of each case, the worker being stopped right after its last task."""

    def run(name, case):
        folder = tmp_path_factory.mktemp("celery")
        (folder / "queue").mkdir()
        (folder / "tasks.py").write_text(case.begin + APP.replace("TASKS", str(TASKS)))
        variables = environment(receiver, folder, case.protocol, MMTRACE_SERVICE=name, FOLDER=str(folder / "queue"))
        worker = f"celery -A tasks worker --loglevel ERROR {case.options}"
        program = Program((*(() if case.begin else RUN), *shlex.split(worker)), variables, folder)
        try:
            variables["MMTRACE_SERVICE"] = "client"
            client = [sys.executable, "tasks.py"]
            done = subprocess.run(
                client, env=variables, cwd=folder, capture_output=True, text=True, timeout=300, check=False
            )
            assert done.returncode == 0, done.stderr + program.log
            code, _ = program.stop()
        finally:
            program.kill()
        assert code == 0, program.log
        return json.loads(done.stdout), [span for span in receiver.spans() if span.service == name]

    with Receiver() as receiver:
        yield Outcomes(request, run, CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_worker_that_is_stopped_right_after_its_last_task_has_sent_everything(name, outcomes):
    _, spans = outcomes[name]
    names = [span.name for span in spans if span.name.startswith("task ")]
    assert sorted(names) == sorted(f"task {number}" for number in range(TASKS))


@pytest.mark.parametrize("name", CASES)
def test_each_process_is_an_instance_of_its_own(name, outcomes):
    pids, spans = outcomes[name]
    assert {span.resource.attributes["process.pid"] for span in spans} == set(pids)
    assert len({span.resource.attributes["service.instance.id"] for span in spans}) == len(set(pids))
    assert "one task each" not in name or len(set(pids)) == TASKS
