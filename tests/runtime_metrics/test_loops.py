"""How late loops of asyncio, and of uvloop, run what is due."""

import asyncio
import gc
import subprocess
import sys
import textwrap
import time
import weakref

import pytest
import uvloop

from mmtrace.patching import process
from mmtrace.patching.options import Options
from mmtrace.runtime_metrics.loops import loops


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def loop(request):
    loop = request.param()
    yield loop
    loop.close()


@pytest.fixture
def patched(measured):
    process.instrument(Options(enabled=frozenset({"asyncio", "uvloop"})))
    loops.start_over()
    yield
    process.uninstrument()
    loops.start_over()


async def block():
    await asyncio.sleep(0)
    time.sleep(0.3)
    await asyncio.sleep(0.01)


def test_a_loop_that_a_callback_holds_up_is_late(patched, measured, loop):
    loop.run_until_complete(block())
    (point,) = measured()["mmtrace.event_loop.lag"]
    assert point.count >= 1
    assert point.sum >= 0.15


def test_nothing_is_left_of_it_when_the_loop_stops(patched, loop):
    async def runs():
        return list(loops._runs)

    assert loop.run_until_complete(runs()) == [loop]
    assert not loops._runs


def test_a_loop_is_not_kept_in_memory(measured):
    async def late():
        loops.start()
        return weakref.ref(asyncio.get_running_loop())

    loop = asyncio.run(late())
    gc.collect()
    assert loop() is None


def test_the_time_between_two_runs_of_a_loop_is_no_lag(patched, measured, loop):
    loop.run_until_complete(asyncio.sleep(0))
    time.sleep(0.3)
    loop.run_until_complete(asyncio.sleep(0))
    assert "mmtrace.event_loop.lag" not in measured()


def test_a_loop_ends_when_its_work_does():
    program = """
        import asyncio, logging, mmtrace
        logging.getLogger("asyncio").setLevel("ERROR")  # it warns of what takes a tenth of a second
        mmtrace.configure(traces_exporter="none", metrics_exporter="console", logs_exporter="none")
        mmtrace.instrument()
        asyncio.run(asyncio.sleep(0.25), debug=True)
        asyncio.run(asyncio.sleep(0))
    """
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert done.stderr == ""
    assert "mmtrace.event_loop.lag" in done.stdout


def test_a_loop_that_runs_already_when_measuring_starts_is_measured():
    from mmtrace.runtime_metrics.measuring import RuntimeMetrics

    metrics = RuntimeMetrics()

    async def late():
        stop = metrics.start()
        await block()
        stop()

    asyncio.run(late())
    lag = next(metric for metric in metrics.collect() if metric.name == "mmtrace.event_loop.lag")
    (point,) = lag.data.data_points
    assert point.sum >= 0.15
    loops.start_over()


def test_loops_are_left_alone_while_nothing_is_measured(loop):
    process.instrument(Options(enabled=frozenset({"asyncio", "uvloop"})))
    try:

        async def runs():
            return len(loops._runs)

        assert loop.run_until_complete(runs()) == 0
    finally:
        process.uninstrument()
