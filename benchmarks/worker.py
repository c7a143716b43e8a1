"""One side in one state, in a process of its own: measures when it is told to, and answers in JSON.

Reads one JSON object a line: `{"burst": calls}` or `{"paced": calls per second, "seconds": n}`.
"""

import json
import os
import sys
import time

from sides import SIDES

TICK = 0.01


def burst(call, flush, calls):
    """Return microseconds a call at full speed; what was recorded is sent afterwards."""
    start = time.perf_counter_ns()
    for _ in range(calls):
        call()
    elapsed = time.perf_counter_ns() - start
    flush()
    return {"us": elapsed / calls / 1000, "calls": calls}


def paced(call, flush, rate, seconds):
    """Return microseconds of CPU a call, of all threads, at a steady rate and with everything sent."""
    calls, each = 0, max(1, round(rate * TICK))
    cpu, due = time.process_time_ns(), time.perf_counter()
    end = due + seconds
    while due < end:
        for _ in range(each):
            call()
        calls += each
        due += TICK
        time.sleep(max(0.0, due - time.perf_counter()))
    flush()
    return {"us": (time.process_time_ns() - cpu) / calls / 1000, "calls": calls}


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
