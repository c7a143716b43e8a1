import asyncio
import concurrent.futures

import pytest

import mmtrace
from mmtrace.testing import InstrumentationCases, instrumented
from mmtrace_instrumentation import asyncio as ours
from mmtrace_instrumentation import futures

BOTH = [(ours.instrumentation,), (ours.instrumentation, futures.instrumentation)]


def work():
    with mmtrace.span("work"):
        pass
    return "done"


class TestKit(InstrumentationCases):
    instrumentation = ours.instrumentation

    async def use(self):
        return await asyncio.get_running_loop().run_in_executor(None, divmod, 7, 2)

    async def misuse(self):
        await asyncio.get_running_loop().run_in_executor(None, divmod, 7, 0)


class Inline(concurrent.futures.Executor):
    """An executor of somebody's own."""

    def submit(self, fn, /, *args, **kwargs):
        future = concurrent.futures.Future()
        future.set_result(fn(*args, **kwargs))
        return future


@pytest.mark.parametrize("instrumentations", BOTH, ids=["alone", "with futures"])
@pytest.mark.parametrize("executor", [None, concurrent.futures.ThreadPoolExecutor, Inline])
async def test_the_context_follows_into_an_executor(recorded, instrumentations, executor):
    pool = executor and executor()
    with instrumented(*instrumentations), mmtrace.span("request"):
        assert await asyncio.get_running_loop().run_in_executor(pool, work) == "done"
    if pool:
        pool.shutdown()
    trace = recorded.trace()
    assert [span.name for span in trace.children(trace.root)] == ["work"]


async def test_to_thread_and_tasks_have_the_context_as_ever(recorded):
    async def task():
        return work()

    with instrumented(ours.instrumentation), mmtrace.span("request"):
        await asyncio.to_thread(work)
        await asyncio.create_task(task())
    trace = recorded.trace()
    assert [span.name for span in trace.children(trace.root)] == ["work", "work"]


async def test_a_coroutine_function_is_refused_as_ever():
    async def wrong():
        raise AssertionError

    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    with instrumented(ours.instrumentation), pytest.raises(TypeError, match="coroutines cannot be used"):
        loop.run_in_executor(None, wrong)
