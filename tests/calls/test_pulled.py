import asyncio
import contextvars
import subprocess
import sys
import textwrap

from opentelemetry.context import Context

from mmtrace.calls import Call, current_context
from mmtrace.calls.pulled import enter_pulled, leave_pulled
from whereabouts import in_a_thread


def pull(name):
    leave_pulled()
    call = Call.start(name, parent=Context())
    enter_pulled(call.context, call)
    return call


def test_the_work_on_what_was_pulled_ends_at_the_next_pull(recorded):
    def work():
        first = pull("first")
        pull("second")
        return first.ended, len(recorded.unclaimed)

    assert in_a_thread(work) == (True, 1)
    assert [span.name for span in recorded.take()] == ["first", "second"]


def test_the_work_on_what_was_pulled_ends_with_its_thread(recorded):
    call = in_a_thread(lambda: pull("work"))
    assert call.ended and recorded.one().name == "work"


async def test_the_work_on_what_was_pulled_ends_with_its_task_whoever_keeps_its_context(recorded):
    kept = []

    async def work():
        pull("work")
        kept.append(contextvars.copy_context())

    await asyncio.create_task(work())
    await asyncio.sleep(0)
    assert kept and recorded.one().name == "work"


async def test_a_task_watches_its_end_once_however_often_it_pulls(recorded):
    async def work():
        for number in range(5):
            pull(str(number))
        return len(asyncio.current_task()._callbacks or ())

    callbacks = await asyncio.create_task(work())
    await asyncio.sleep(0)
    assert callbacks <= 2
    assert len(recorded.take()) == 5


async def test_what_another_task_has_pulled_is_current_in_the_one_that_waits(recorded):
    async def later():
        await asyncio.sleep(0)
        call = Call.start("work", parent=Context())
        enter_pulled(call.context, call)
        return call

    def get():
        leave_pulled()
        return later()

    async def work():
        call = await asyncio.wait_for(get(), 5)
        current = current_context() == call.context
        leave_pulled()
        return current, call.ended, current_context() == call.context

    assert await asyncio.create_task(work()) == (True, True, False)
    recorded.take()


def test_leaving_without_a_pull_changes_nothing():
    before = current_context()
    leave_pulled()
    assert current_context() is before


def test_a_fork_never_ends_the_work_of_its_parent(receiver):
    source = """
    import os
    from opentelemetry.context import Context
    import mmtrace
    from mmtrace.calls import Call
    from mmtrace.calls.pulled import enter_pulled, leave_pulled

    mmtrace.configure(service="test")
    call = Call.start("work", parent=Context())
    enter_pulled(call.context, call)
    child = os.fork()
    if child == 0:
        leave_pulled()
        mmtrace.flush()
    else:
        os.waitpid(child, 0)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(source)], env=receiver.environment, check=True, timeout=100)
    assert [span.name for span in receiver.spans()] == ["work"]
