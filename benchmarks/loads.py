"""What a worker can be told to do: each puts one side under a load and returns what it measured."""

import hashlib
import math
import os
import threading
import time
from contextvars import copy_context
from pathlib import Path

from hops import operations

TICK = 0.01
WARM_UP = 0.5
SALT = b"benchmark"
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


class Pace:
    """Lets threads start on time, by a clock that stands still while other processes have the core."""

    def __init__(self):
        self.stolen = 0.0
        self.worked = time.process_time()

    def wait(self, due):
        """Wait until `due`, and return how many seconds too late it has become because this process was at work."""
        while (left := due + self.stolen - time.perf_counter()) > 0:
            time.sleep(left)
        late, worked = -left, time.process_time()
        ours = min(late, worked - self.worked)
        self.worked = worked
        self.stolen += late - ours
        return ours

    def take(self, run):
        """Return how many seconds of this process's own time `run()` takes, other threads of it included."""
        start, worked = time.perf_counter(), time.process_time()
        run()
        self.worked = time.process_time()
        took = self.worked - worked
        self.stolen += max(0.0, time.perf_counter() - start - took)
        return took


def latency(side, threads, rate, seconds, native, python):
    """Return percentiles, in milliseconds, of work and call together, in threads that each start `rate` a second.

    The threads take turns, so that they do not wait for each other. The work is `native` rounds of a hash without the
    interpreter's lock, and `python` rounds of a loop with it.
    """
    taken = [[] for _ in range(threads)]
    pace, began = Pace(), time.perf_counter() + TICK

    def request():
        work(native, python)
        side.call()

    def requests(number):
        for turn in range(round(rate * seconds)):
            late = pace.wait(began + (turn + number / threads) / rate)
            taken[number].append(1000 * (late + pace.take(request)))

    run_threads(threads, requests)
    side.flush()
    found = sorted(took for one in taken for took in one)
    percentiles = {f"p{part}": found[math.ceil(len(found) * part / 100) - 1] for part in PERCENTILES}
    return percentiles | {"calls": len(found)}


def work(native, python):
    """Work as a model's call does: most of it in native code that lets other threads run."""
    hashlib.pbkdf2_hmac("sha256", SALT, SALT, native)
    for _ in range(python):
        pass


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
