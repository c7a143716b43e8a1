"""Programs that never import mmtrace and are killed by SIGTERM where they wait: what they recorded has been sent."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

MMTRACE = str(Path(sys.executable).with_name("mmtrace"))

WORK = """
import signal, threading, time
from opentelemetry import trace

def tell():
    while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        time.sleep(0.01)
    time.sleep(0.5)  # by then the main thread waits
    print("ready", flush=True)

ready = threading.Thread(target=tell, daemon=True)
with trace.get_tracer("test").start_as_current_span("last"):
    pass
"""
GRPC = """
import grpc
from concurrent.futures import ThreadPoolExecutor
server = grpc.server(ThreadPoolExecutor(1))
server.start()
ready.start()
server.wait_for_termination()
"""
ASYNCIO = """
import asyncio

async def main():
    ready.start()
    await asyncio.Event().wait()

asyncio.run(main())
"""
STANDARD_LIBRARY = """
from wsgiref.simple_server import make_server
server = make_server("127.0.0.1", 0, None)
ready.start()
server.serve_forever()
"""
OWN_HANDLER = """
import asyncio, signal

async def main():
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    ready.start()
    await stopped.wait()

asyncio.run(main())
raise SystemExit(signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL)
"""


@pytest.fixture
def stopped(receiver):
    """Runs a program that works, then waits; returns its exit code after SIGTERM."""

    def run(program):
        command = [MMTRACE, "run", "--schedule-delay", "60", "python", "-c", textwrap.dedent(WORK + program)]
        with subprocess.Popen(command, env=receiver.environment, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout.readline() == "ready\n"
                process.send_signal(signal.SIGTERM)
                return process.wait(300)
            finally:
                process.kill()

    return run


@pytest.mark.parametrize("program", [GRPC, ASYNCIO, STANDARD_LIBRARY], ids=["grpc", "asyncio", "socketserver"])
def test_a_program_that_waits_to_be_stopped_has_sent_everything(stopped, receiver, program):
    assert stopped(program) == -signal.SIGTERM
    assert [span.name for span in receiver.spans()] == ["last"]


def test_a_program_that_handles_the_signal_itself_is_left_to_it(stopped, receiver):
    assert stopped(OWN_HANDLER) == os.EX_OK
    assert [span.name for span in receiver.spans()] == ["last"]
