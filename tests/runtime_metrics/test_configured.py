"""Runtime metrics of a configured program, by OTLP."""

import subprocess
import sys

STANDARD = {"process.memory.usage", "process.cpu.time", "process.thread.count", "cpython.gc.collections"}


def run(receiver, arguments=""):
    program = f"import gc, mmtrace; mmtrace.configure({arguments}); gc.collect(); mmtrace.model_call('m').__enter__()"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=receiver.environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert done.stderr == ""
    return receiver.metric_names()


def test_they_are_sent_with_all_others(receiver):
    assert {*STANDARD, "mmtrace.gc.pause"} <= run(receiver)


def test_a_setting_turns_them_off(receiver):
    found = run(receiver, "runtime_metrics=False")
    assert found
    assert not {name for name in found if name.startswith(("process.", "cpython.", "mmtrace.gc."))}


def test_as_growth_they_arrive_too(receiver):
    assert {*STANDARD, "mmtrace.gc.pause"} <= run(receiver, "temporality='delta'")


def test_configuring_anew_and_ending_it_leaves_no_callback():
    program = """
import gc, mmtrace
before = len(gc.callbacks)
mmtrace.configure(metrics_exporter="console", traces_exporter="none", logs_exporter="none")
mmtrace.configure(service="again")
assert len(gc.callbacks) == before + 1
mmtrace.shutdown()
assert len(gc.callbacks) == before
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300, stdout=subprocess.DEVNULL)
