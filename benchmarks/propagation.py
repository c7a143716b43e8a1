"""What it costs to pass a context on: W3C headers, the current context, and queues, which have no headers.

    python benchmarks/propagation.py [--rounds N] [--loops N] [--sides SIDE ...] [--states STATE ...] [--json FILE]

Every side and state is a process of its own on one core. The context is a span and three entries of baggage. `inject`
writes it into a dict, `extract` reads headers of another process; stock and mmtrace do this through the API, with their
own propagators behind it. A queue takes a payload of 1 KiB: put and get between threads, wrap and unwrap for a medium
of bytes, context and all; mmtrace has verbs for that, for the others it is a pair of headers and payload, pickled for
bytes. The figures are microseconds of CPU: medians of interleaved rounds. fastotel leaves contexts to the stock SDK.
"""

from processes import UNTRACED, nobody, rounds_of, workers
from sides import RECORDERS
from tables import CONSOLE, about, by_state, finish, parser, show

SIDES = [side for side in RECORDERS if side != "fastotel"]
STATES = ["no-op", "sampled out", "recording"]


def run(given):
    with nobody() as away, workers(given.sides, given.states, away) as running:
        found = rounds_of(running, given.rounds, "hop", loops=given.loops)
    measures = {name: name for name in found[given.sides[0], given.states[0]] if name != "calls"}
    return about(given.sides) | {
        "untraced": {name: round(figure, 2) for name, figure in found[UNTRACED].items() if name != "calls"},
        "states": by_state(found, given.sides, given.states, measures),
    }


def main():
    arguments = parser(__doc__, sides=SIDES, states=STATES)
    arguments.add_argument("--rounds", type=int, default=20, help="rounds of each side and state")
    arguments.add_argument("--loops", type=int, default=1000, help="operations a round")
    given = arguments.parse_args()
    figures = run(given)
    show("microseconds of CPU an operation", figures["states"], given.sides, digits=2)
    CONSOLE.print("untraced:", ", ".join(f"{name} {figure:.2f}" for name, figure in figures["untraced"].items()))
    finish(figures, given.json)


if __name__ == "__main__":
    main()
