"""One side in one state, in a process of its own: measures when it is told to, and answers in JSON.

Reads one JSON object a line: `{"burst": calls}` or `{"paced": calls per second, "seconds": n}`.
"""

import json
import os
import sys
import time

from sides import SIDES

TICK = 0.01
WARM_UP = 1.0


def burst(call, flush, calls):
    """Return microseconds a call at full speed, by the clock and of the thread's CPU; it is all sent afterwards."""
    wall, thread = time.perf_counter_ns(), time.thread_time_ns()
    for _ in range(calls):
        call()
    wall, thread = time.perf_counter_ns() - wall, time.thread_time_ns() - thread
    flush()
    return {"wall_us": wall / calls / 1000, "thread_us": thread / calls / 1000, "calls": calls}


def paced(call, flush, rate, seconds):
    """Return microseconds of CPU a call, of all threads, at a steady rate: queues are as full at the end as before."""
    each = max(1, round(rate * TICK))
    ticks(call, each, WARM_UP)
    cpu = time.process_time_ns()
    made = ticks(call, each, seconds)
    cpu = time.process_time_ns() - cpu
    flush()
    return {"cpu_us": cpu / made / 1000, "calls": made + round(WARM_UP / TICK) * each}


def ticks(call, each, seconds):
    """Make `each` calls a tick for so long, and return how many that were."""
    due = time.perf_counter()
    for _ in range(round(seconds / TICK)):
        for _ in range(each):
            call()
        due += TICK
        time.sleep(max(0.0, due - time.perf_counter()))
    return round(seconds / TICK) * each


def main():
    side, state = sys.argv[1:]
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    call, flush = SIDES[side](state)
    print("ready", flush=True)
    for line in sys.stdin:
        told = json.loads(line)
        if "burst" in told:
            answer = burst(call, flush, told["burst"])
        else:
            answer = paced(call, flush, told["paced"], told["seconds"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
