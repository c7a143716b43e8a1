import gc
import threading
import weakref

import pytest

import mmtrace
from mmtrace.testing import InstrumentationCases, instrumented
from mmtrace_instrumentation.threading import instrumentation


@pytest.fixture
def traced(recorded):
    with instrumented(instrumentation):
        yield recorded


def run(thread):
    thread.start()
    thread.join()


def work(name="work"):
    with mmtrace.span(name):
        pass


class Worker(threading.Thread):
    def run(self):
        work()


class TestKit(InstrumentationCases):
    instrumentation = instrumentation

    def use(self):
        seen = []
        run(threading.Thread(target=seen.append, args=(1,)))
        return seen

    def misuse(self):
        thread = threading.Thread()
        run(thread)
        thread.start()


@pytest.mark.parametrize(
    "make",
    [
        lambda: threading.Thread(target=work),
        lambda: threading.Thread(target=work, kwargs={"name": "work"}),
        Worker,
        lambda: threading.Timer(0.001, work),
    ],
    ids=["target", "keywords", "subclass", "timer"],
)
def test_the_context_follows_into_a_thread(traced, make):
    with mmtrace.span("request"):
        run(make())
    trace = traced.trace()
    assert trace.root.name == "request"
    assert [span.name for span in trace.children(trace.root)] == ["work"]


def test_threads_that_are_started_in_one_request_run_in_it_at_the_same_time(traced):
    barrier = threading.Barrier(3)

    def meet():
        with mmtrace.span("work"):
            barrier.wait(5)

    threads = [threading.Thread(target=meet) for _ in range(3)]
    with mmtrace.span("request"):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    trace = traced.trace()
    assert [span.name for span in trace.children(trace.root)] == ["work"] * 3


def test_what_the_thread_makes_current_stays_in_it(traced):
    with mmtrace.span("request"):
        run(threading.Thread(target=work))
        with mmtrace.span("after"):
            pass
    trace = traced.trace()
    assert [span.name for span in trace.children(trace.root)] == ["work", "after"]


def test_a_thread_that_was_given_its_own_run_keeps_it(traced):
    seen = []
    thread = threading.Thread()
    thread.run = lambda: seen.append(1)
    own = thread.run
    run(thread)
    assert seen == [1]
    assert thread.run is own


def test_a_thread_is_freed_without_the_garbage_collector(traced):
    class Big:
        pass

    thread = threading.Thread(target=id, args=(Big(),))
    run(thread)
    assert "run" not in vars(thread)
    gone = weakref.ref(thread)
    gc.disable()
    try:
        del thread
        assert gone() is None
    finally:
        gc.enable()


def test_a_thread_that_cannot_be_started_is_left_as_it_was(traced, monkeypatch):
    def refuse(*args, **kwargs):
        raise RuntimeError("can't start new thread")

    starter = "_start_joinable_thread" if hasattr(threading, "_start_joinable_thread") else "_start_new_thread"
    monkeypatch.setattr(threading, starter, refuse)
    thread = threading.Thread(target=work)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        thread.start()
    assert "run" not in vars(thread)


def test_a_second_start_and_a_thread_without_init_raise_what_they_ever_did(traced):
    class Uninitialised(threading.Thread):
        def __init__(self):
            pass

    with pytest.raises(RuntimeError, match=r"__init__\(\) not called"):
        Uninitialised().start()
    thread = threading.Thread(target=id, args=(1,))
    run(thread)
    with pytest.raises(RuntimeError, match="only be started once"):
        thread.start()


def test_an_exception_in_a_thread_reaches_the_hook(traced, monkeypatch):
    seen = []
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append(args.exc_type))
    run(threading.Thread(target=lambda: 1 / 0))
    assert seen == [ZeroDivisionError]
