"""What tracing adds to the latency of eight threads that each do one millisecond of work, over and over.

    python benchmarks/thread_latency.py [--rounds N] [--seconds S] [--sides SIDE ...] [--states STATE ...] [--json FILE]

A request is a wait of 1 ms without the interpreter's lock, as for a device, and then one call of span_cost.py; a thread
begins the next one as soon as it has ended one, so that eight of them make some 6,000 a second. Every side is a process
of its own on one core; the receiver is on another, where there is one. Percentiles are medians of interleaved rounds;
what is added is the difference from the same requests untraced.
"""

from loads import PERCENTILES
from processes import UNTRACED, receiver, rounds_of, workers
from tables import CONSOLE, about, by_state, finish, parser, show

LOAD = {"threads": 8, "milliseconds": 1.0}
MEASURES = {f"p{part}": f"p{part}" for part in PERCENTILES}


def run(given):
    with receiver() as sink, workers(given.sides, given.states, sink.endpoint) as running:
        found = rounds_of(running, given.rounds, "latency", seconds=given.seconds, **LOAD)
    idle = found[UNTRACED]
    return about(given.sides) | {
        "load": LOAD,
        "untraced": {name: round(idle[key], 2) for key, name in MEASURES.items()},
        "states": by_state(found, given.sides, given.states, MEASURES, idle=idle),
    }


def main():
    arguments = parser(__doc__, states=["exporting"])
    arguments.add_argument("--rounds", type=int, default=5, help="rounds of each side and state")
    arguments.add_argument("--seconds", type=float, default=4.0, help="length of a round")
    given = arguments.parse_args()
    figures = run(given)
    show("milliseconds added to a request of 1 ms", figures["states"], given.sides, digits=2)
    CONSOLE.print("untraced:", ", ".join(f"{name} {value:.2f}" for name, value in figures["untraced"].items()))
    finish(figures, given.json)


if __name__ == "__main__":
    main()
