import concurrent.futures
import multiprocessing
import os

import pytest
from opentelemetry.trace import get_current_span

import mmtrace
from mmtrace.testing import InstrumentationCases, instrumented
from mmtrace_instrumentation import futures, threading
from mmtrace_instrumentation import multiprocessing as processes

METHODS = ["fork", "spawn", "forkserver"]


@pytest.fixture
def traced(recorded):
    with instrumented(futures.instrumentation, threading.instrumentation, processes.instrumentation):
        yield recorded


def work(*args, **kwargs):
    with mmtrace.span("work"):
        pass
    return args, kwargs


def where(*_):
    context = get_current_span().get_span_context()
    return os.getpid(), context.trace_id, context.span_id


class Adder:
    def __init__(self, amount):
        self.amount = amount

    def add(self, number):
        return number + self.amount


class TestKit(InstrumentationCases):
    instrumentation = futures.instrumentation

    def use(self):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            return [pool.submit(divmod, 7, 2).result(), *pool.map(abs, [-1, -2])]

    def misuse(self):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            pool.submit(divmod, 1, 0).result()


def test_what_is_submitted_runs_in_the_context_of_the_submitter(traced):
    with concurrent.futures.ThreadPoolExecutor(1) as pool, mmtrace.span("request"):
        assert pool.submit(work, 1, key=2).result() == ((1,), {"key": 2})
    trace = traced.trace()
    assert [span.name for span in trace.children(trace.root)] == ["work"]


def test_each_item_of_a_map_runs_in_the_context_of_the_caller(traced):
    with concurrent.futures.ThreadPoolExecutor(2) as pool, mmtrace.span("request"):
        list(pool.map(work, range(3)))
    trace = traced.trace()
    assert [span.name for span in trace.children(trace.root)] == ["work"] * 3


def test_a_worker_thread_belongs_to_no_request(traced):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with mmtrace.span("first") as first:
            pool.submit(work).result()
        with mmtrace.span("second") as second:
            pool.submit(work).result()
        pool.submit(work).result()
    parents = [span.parent_span_id for span in traced.take() if span.name == "work"]
    assert parents == [first.get_span_context().span_id, second.get_span_context().span_id, None]


def test_submit_by_keyword_says_what_it_ever_said(traced):
    with concurrent.futures.ThreadPoolExecutor(1) as pool, pytest.raises(TypeError, match="'fn'"):
        pool.submit(fn=work)


def test_an_executor_that_takes_its_function_by_keyword_is_served(traced):
    class Executor(concurrent.futures.ThreadPoolExecutor):
        def submit(self, *args, fn=None, **kwargs):
            return super().submit(fn or args[0], *args[1:], **kwargs)

    with Executor(1) as pool, mmtrace.span("request"):
        pool.submit(fn=work).result()
    trace = traced.trace()
    assert [span.name for span in trace.children(trace.root)] == ["work"]


def test_what_the_function_raises_reaches_the_future_as_it_is(traced):
    error = ValueError("mine")

    def fail():
        raise error

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert pool.submit(fail).exception() is error


@pytest.mark.parametrize("method", METHODS)
def test_the_context_follows_into_a_pool_of_processes(traced, method):
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
        with mmtrace.span("first") as first:
            one = pool.submit(where).result()
        with mmtrace.span("second") as second:
            two = pool.submit(where).result()
            (three,) = pool.map(where, [0])
        none = pool.submit(where).result()
    traced.take()
    assert len({found[0] for found in (one, two, three, none)}) == 1
    assert one[0] != os.getpid()
    assert one[1:] == ids(first)
    assert two[1:] == three[1:] == ids(second)
    assert none[1:] == (0, 0)


@pytest.mark.parametrize("method", METHODS)
def test_bound_methods_can_be_submitted_to_a_pool_of_processes(traced, method):
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
        assert pool.submit(Adder(2).add, 3).result() == 5


def ids(span):
    context = span.get_span_context()
    return context.trace_id, context.span_id
