"""What a worker can be told to do: each puts one side under a load and returns what it measured."""

import math
import os
import threading
import time
from contextvars import copy_context
from pathlib import Path

from hops import operations

TICK = 0.01
WARM_UP = 0.5
PERCENTILES = (50, 99, 99.9)


def burst(side, calls):
    """Return microseconds a call at full speed, by the clock and of the thread's CPU; it is all sent afterwards."""
    call = side.call
    wall, thread = time.perf_counter_ns(), time.thread_time_ns()
    for _ in range(calls):
        call()
    wall, thread = time.perf_counter_ns() - wall, time.thread_time_ns() - thread
    side.flush()
    return {"wall_us": wall / calls / 1000, "thread_us": thread / calls / 1000, "calls": calls}


def paced(side, rate, seconds):
    """Return microseconds of CPU a call, of all threads, at a steady rate: queues are as full at the end as before."""
    each = max(1, round(rate * TICK))
    warm = ticks(side.call, each, WARM_UP)
    cpu = time.process_time_ns()
    made = ticks(side.call, each, seconds)
    cpu = time.process_time_ns() - cpu
    side.flush()
    return {"cpu_us": cpu / made / 1000, "calls": made + warm}


def ticks(call, each, seconds):
    """Make `each` calls a tick for so long, and return how many that were."""
    due = time.perf_counter()
    for _ in range(round(seconds / TICK)):
        for _ in range(each):
            call()
        due += TICK
        time.sleep(max(0.0, due - time.perf_counter()))
    return round(seconds / TICK) * each


def latency(side, threads, milliseconds, seconds):
    """Return percentiles, in milliseconds, of a wait of so long and a call after it, in threads that do nothing else.

    As a model on a device does: the thread waits without the interpreter's lock, then needs it for the rest.
    """
    repeat(side.call, threads, milliseconds, WARM_UP)
    found = sorted(repeat(side.call, threads, milliseconds, seconds))
    side.flush()
    percentiles = {f"p{part}": found[math.ceil(len(found) * part / 100) - 1] for part in PERCENTILES}
    return percentiles | {"calls": len(found)}


def repeat(call, threads, milliseconds, seconds):
    """Return how many milliseconds each wait and call took."""
    taken = [[] for _ in range(threads)]
    until = time.perf_counter() + seconds

    def requests(number):
        start = time.perf_counter()
        while start < until:
            time.sleep(milliseconds / 1000)
            call()
            end = time.perf_counter()
            taken[number].append(1000 * (end - start))
            start = end

    run_threads(threads, requests)
    return [took for one in taken for took in one]


def flood(side, threads, seconds):
    """Return calls a second of threads at full speed, and how much memory the process takes before and after."""
    for _ in range(100):
        side.call()
    before, made = memory(), [0] * threads
    until = time.perf_counter() + seconds

    def calls(number):
        call = side.call
        while time.perf_counter() < until:
            for _ in range(10):
                call()
            made[number] += 10

    began = time.perf_counter()
    run_threads(threads, calls)
    rate = sum(made) / (time.perf_counter() - began)
    return {"calls": 100 + sum(made), "rate": rate, "grown": memory() - before, "memory": memory()}


def hop(side, loops):
    """Return microseconds of each of the side's operations that carry context; none leaves its own to the next."""
    found = {name: copy_context().run(repeated, run, loops) for name, run in operations(side.name).items()}
    return found | {"calls": loops}


def repeated(run, loops):
    """Return microseconds of the thread's CPU that `run` takes."""
    thread = time.thread_time_ns()
    for _ in range(loops):
        run()
    return (time.thread_time_ns() - thread) / loops / 1000


def run_threads(threads, target):
    """Run `target(number)` in so many threads until all have ended."""
    running = [threading.Thread(target=target, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def memory():
    """Return the resident bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
