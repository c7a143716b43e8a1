import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap

import pytest

import mmtrace
from mmtrace.testing import InstrumentationCases, instrumented
from mmtrace_instrumentation.multiprocessing import instrumentation
from whereabouts import ids, where

METHODS = ["fork", "spawn", "forkserver"]


def tell(connection):
    connection.send((os.getpid(), where()))


def add(one, two=1):
    return one + two


def fail(*_):
    raise ValueError("mine")


class Teller(multiprocessing.get_context("spawn").Process):
    def __init__(self, connection):
        super().__init__()
        self.connection = connection

    def run(self):
        tell(self.connection)


@pytest.fixture
def traced(recorded):
    with instrumented(instrumentation):
        yield
    recorded.take()


@pytest.fixture
def answer():
    ours, theirs = multiprocessing.Pipe()

    def receive(process):
        process.join(60)
        assert process.exitcode == 0
        assert ours.poll(5)
        return ours.recv()

    receive.connection = theirs
    yield receive
    ours.close()
    theirs.close()


class TestKit(InstrumentationCases):
    instrumentation = instrumentation

    def use(self):
        context = multiprocessing.get_context("fork")
        process = context.Process(target=add, args=(1,))
        process.start()
        process.join()
        with context.Pool(1) as pool:
            results = [pool.apply(add, (1,)), pool.map(add, [1, 2]), list(pool.imap(add, [3]))]
        return process.exitcode, results

    def misuse(self):
        with multiprocessing.get_context("fork").Pool(1) as pool:
            pool.apply(fail)


@pytest.mark.parametrize("method", METHODS)
def test_the_context_follows_into_a_process(traced, answer, method):
    process = multiprocessing.get_context(method).Process(target=tell, args=(answer.connection,))
    with mmtrace.span("request") as request:
        process.start()
    pid, found = answer(process)
    assert pid == process.pid
    assert found == ids(request.get_span_context())
    assert "run" not in vars(process)


def test_the_context_follows_into_a_process_of_a_subclass(traced, answer):
    process = Teller(answer.connection)
    with mmtrace.span("request") as request:
        process.start()
    assert answer(process)[1] == ids(request.get_span_context())


@pytest.mark.parametrize("method", METHODS)
def test_a_process_that_is_started_in_no_request_begins_in_none(traced, answer, method):
    process = multiprocessing.get_context(method).Process(target=tell, args=(answer.connection,))
    process.start()
    assert answer(process)[1] == (0, 0)


@pytest.mark.parametrize("method", METHODS)
def test_the_context_follows_with_every_task_of_a_pool(traced, method):
    with mmtrace.span("made here"):
        pool = multiprocessing.get_context(method).Pool(1)
    with pool:
        with mmtrace.span("request") as request:
            found = [
                pool.apply(where),
                pool.apply_async(where).get(),
                pool.apply_async(func=where).get(),
                *pool.map(where, [1]),
                *pool.map_async(where, [1]).get(),
                *pool.starmap(where, [(1,)]),
                *pool.imap(where, [1]),
                *pool.imap(where, [1, 2], chunksize=2),
                *pool.imap_unordered(where, [1]),
            ]
        after = pool.apply(where)
    assert found == [ids(request.get_span_context())] * 10
    assert after == (0, 0)


def test_the_context_follows_with_every_task_of_a_pool_of_threads(traced):
    with multiprocessing.pool.ThreadPool(1) as pool, mmtrace.span("request") as request:
        assert [pool.apply(where), *pool.map(where, [1])] == [ids(request.get_span_context())] * 2


def test_what_a_task_raises_reaches_the_caller(traced):
    with multiprocessing.get_context("spawn").Pool(1) as pool, pytest.raises(ValueError, match="mine"):
        pool.apply(fail)


def test_a_fork_leaves_the_context_behind(traced):
    reader, writer = os.pipe()
    with mmtrace.span("request"):
        pid = os.fork()
        if pid == 0:
            os.write(writer, pickle.dumps(where()))
            os._exit(0)
        assert where() != (0, 0)
    os.waitpid(pid, 0)
    assert pickle.loads(os.read(reader, 1000)) == (0, 0)
    os.close(reader)
    os.close(writer)


PROGRAM = """
import multiprocessing, sys
import mmtrace

def child(path):
    import json
    with mmtrace.span("child"):
        json.dumps(1)
    import sys
    patched = "mmtrace.patching.process" in sys.modules
    mmtrace.flush()
    with open(path + ".patched", "w") as file:
        file.write(str(patched))

if __name__ == "__main__":
    method, path = sys.argv[1:]
    mmtrace.configure(service="parent", traces_exporter=("file",), metrics_exporter=(), logs_exporter=(), file=path)
    mmtrace.instrument()
    context = multiprocessing.get_context(method)
    with mmtrace.span("parent"):
        process = context.Process(target=child, args=(path,))
        process.start()
        process.join()
    mmtrace.shutdown()
    sys.exit(process.exitcode)
"""


@pytest.mark.parametrize("method", METHODS)
def test_a_child_process_is_configured_and_instrumented_as_its_parent_is(tmp_path, method):
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    path = tmp_path / "traces.jsonl"
    done = subprocess.run([sys.executable, program, method, path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    spans = spans_in(path)
    assert {span.name for span in spans} == {"parent", "child"}
    assert len({span.trace_id for span in spans}) == 1
    assert {span.resource.attributes["service.name"] for span in spans} == {"parent"}
    assert (tmp_path / "traces.jsonl.patched").read_text() == "True"


def spans_in(path):
    from mmtrace.otlp.decode import decode_traces_json

    return [span for line in path.read_bytes().splitlines() for span in decode_traces_json(line)]
