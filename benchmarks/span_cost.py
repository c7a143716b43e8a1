"""What one call of a model costs the thread that makes it: the same telemetry by mmtrace, the stock SDK and peers.

    python benchmarks/span_cost.py [--rounds N] [--sides SIDE ...] [--states STATE ...] [--json FILE]

Every side and state is a process of its own on one core; the receiver is on another, where there is one. The hot path
is what a call takes at full speed, by the clock and of its thread's CPU: medians of interleaved rounds of 400 calls.
Everything is sent between the rounds; what sending costs is in export_cpu.py.
"""

from processes import UNTRACED, receiver, rounds_of, workers
from sides import STATES
from tables import CONSOLE, about, by_state, finish, parser, show

CALLS = 400
MEASURES = {"wall_us": "hot path, clock", "thread_us": "hot path, CPU"}


def run(sides, states, rounds):
    with receiver() as sink, workers(sides, states, sink.endpoint) as running:
        found = rounds_of(running, rounds, "burst", calls=CALLS)
    idle = found[UNTRACED]
    return about(sides) | {
        "untraced": {name: round(idle[key], 2) for key, name in MEASURES.items()},
        "states": by_state(found, sides, states, MEASURES),
    }


def main():
    arguments = parser(__doc__, states=STATES)
    arguments.add_argument("--rounds", type=int, default=30, help="rounds at full speed")
    given = arguments.parse_args()
    figures = run(given.sides, given.states, given.rounds)
    show("microseconds a call of a model", figures["states"], given.sides)
    CONSOLE.print(f"untraced: {figures['untraced']['hot path, clock']:.2f}")
    finish(figures, given.json)


if __name__ == "__main__":
    main()
