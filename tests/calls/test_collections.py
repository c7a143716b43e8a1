import subprocess
import sys

ABANDON_STREAMS_WHERE_CALLS_END = """
import gc
from contextvars import ContextVar

import mmtrace
from mmtrace.testing import record_spans

variables = [ContextVar(str(number)) for number in range(40)]
for variable in variables:
    variable.set(object())


@mmtrace.model("stream")
def stream():
    yield 1
    yield 2


def abandon():
    items = stream()
    next(items)
    cycle = [items]
    cycle.append(cycle)


with record_spans(deterministic=False) as spans:
    gc.set_threshold(1)
    for _ in range(500):
        gc.disable()
        call = mmtrace.model_call("call")
        call.__enter__()
        abandon()
        gc.enable()
        call.__exit__(None, None, None)
        [object() for _ in range(5)]
    gc.set_threshold(700)
    gc.collect()
    print(len(spans.take()))
"""


def test_a_stream_that_is_collected_while_another_call_ends_harms_nobody():
    command = [sys.executable, "-X", "faulthandler", "-c", ABANDON_STREAMS_WHERE_CALLS_END]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stdout) == (0, "1000\n"), ended.stderr
