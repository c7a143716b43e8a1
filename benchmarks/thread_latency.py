"""What tracing adds to the latency of eight threads that each do one millisecond of work.

    python benchmarks/thread_latency.py [--rounds N] [--seconds S] [--sides SIDE ...] [--states STATE ...] [--json FILE]

A request is 0.9 ms of native code that lets other threads run (a hash) and 0.1 ms of Python, and then one call of
span_cost.py. Eight threads start a request each in turn, 400 a second in all. Every side is a process of its own on one
core; the receiver is on another, where there is one. The clock, and with it the schedule, stands still while another
process has the core; a request that starts late because its own process was at work has waited. Percentiles are medians
of interleaved rounds; what is added is the difference from the same requests untraced.
"""

import time

from loads import PERCENTILES, work
from processes import UNTRACED, receiver, rounds_of, workers
from tables import CONSOLE, about, by_state, finish, parser, show

THREADS = 8
NATIVE_MS, PYTHON_MS = 0.9, 0.1
PROBE = 200
MEASURES = {f"p{part}": f"p{part}" for part in PERCENTILES}


def rounds_for(milliseconds, run):
    """Return how many rounds `run(rounds)` does in so long, at the speed of this machine when nobody disturbs it."""
    took = min(timed(run, PROBE) for _ in range(PROBE))
    return round(milliseconds / 1000 / took * PROBE)


def timed(run, rounds):
    start = time.perf_counter()
    run(rounds)
    return time.perf_counter() - start


def run(given):
    load = {
        "threads": THREADS,
        "rate": given.rate / THREADS,
        "seconds": given.seconds,
        "native": rounds_for(NATIVE_MS, lambda rounds: work(rounds, 0)),
        "python": rounds_for(PYTHON_MS, lambda rounds: work(1, rounds)),
    }
    with receiver() as sink, workers(given.sides, given.states, sink.endpoint) as running:
        found = rounds_of(running, given.rounds, "latency", **load)
    idle = found[UNTRACED]
    return about(given.sides) | {
        "load": load,
        "untraced": {name: round(idle[key], 2) for key, name in MEASURES.items()},
        "states": by_state(found, given.sides, given.states, MEASURES, idle=idle),
    }


def main():
    arguments = parser(__doc__, states=["exporting"])
    arguments.add_argument("--rounds", type=int, default=8, help="rounds of each side and state")
    arguments.add_argument("--seconds", type=float, default=2.5, help="length of a round")
    arguments.add_argument("--rate", type=float, default=400.0, help="requests a second, of all threads")
    given = arguments.parse_args()
    figures = run(given)
    show("milliseconds added to a request of 1 ms", figures["states"], given.sides, digits=2)
    CONSOLE.print("untraced:", ", ".join(f"{name} {value:.2f}" for name, value in figures["untraced"].items()))
    finish(figures, given.json)


if __name__ == "__main__":
    main()
