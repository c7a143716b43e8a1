"""What one call of a model costs the whole process, the threads that export included, at a steady rate.

    python benchmarks/export_cpu.py [--rounds N] [--seconds S] [--rate R] [--sides ...] [--states ...] [--json FILE]

The telemetry is that of span_cost.py. Every side and state is a process of its own on one core; the receiver is on
another, where there is one. The figure is the CPU of all threads at a paced rate, less that of the same loop untraced:
medians of interleaved rounds. The export of metrics, once a minute on all sides, is not in it.
"""

from processes import UNTRACED, receiver, rounds_of, workers
from sides import STATES
from tables import CONSOLE, about, by_state, finish, parser, show

MEASURES = {"cpu_us": "all threads, CPU"}


def run(given):
    with receiver() as sink:
        with workers(given.sides, given.states, sink.endpoint) as running:
            found = rounds_of(running, given.rounds, "paced", rate=given.rate, seconds=given.seconds)
        arrived = sink.spans()
    return about(given.sides) | {
        "calls a second": given.rate,
        "states": by_state(found, given.sides, given.states, MEASURES, idle=found[UNTRACED]),
        "delivered": {
            side: {"calls": found[side, "exporting"]["calls"], "spans": arrived.get(f"{side} exporting", 0)}
            for side in given.sides
            if "exporting" in given.states
        },
    }


def main():
    arguments = parser(__doc__, states=STATES)
    arguments.add_argument("--rounds", type=int, default=3, help="rounds of each side and state")
    arguments.add_argument("--seconds", type=float, default=2.5, help="length of a round")
    arguments.add_argument("--rate", type=float, default=5000.0, help="calls a second")
    given = arguments.parse_args()
    figures = run(given)
    show(f"microseconds of CPU a call, at {given.rate:,.0f} calls a second", figures["states"], given.sides)
    for side, found in figures["delivered"].items():
        CONSOLE.print(f"{side}: {found['spans']:,} of {found['calls']:,} spans arrived")
    finish(figures, given.json)


if __name__ == "__main__":
    main()
