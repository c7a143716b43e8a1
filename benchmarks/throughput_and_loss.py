"""What happens to spans, to memory and to the service's speed when four threads call a model as fast as they can.

    python benchmarks/throughput_and_loss.py [--rounds N] [--seconds S] [--sides SIDE ...] [--json FILE]

The telemetry is that of span_cost.py. Every round is a process of its own on one core, which floods, then ends as any
program does. States: recording, nothing is sent; exporting, to a receiver on another core, where there is one; receiver
away, its port refuses every connection (one round, twice as long: queues fill up, and some take long to end). The spans
that were made are compared with those that arrived and those that the side itself counted as lost when it had ended:
the rest was lost silently.
"""

from processes import UNTRACED, ask, end, medians, nobody, receiver, worker
from tables import CONSOLE, about, compared, finish, parser, show

STATES = ("recording", "exporting", "receiver away")
MORE_IS_BETTER = ("calls a second", "arrived, %")


def run(given):
    with receiver() as sink, nobody() as away:
        pairs = [UNTRACED, *((side, state) for state in STATES[:2] for side in given.sides)]
        answers = {pair: [] for pair in pairs}
        for _ in range(given.rounds):
            for pair in pairs:
                answers[pair].append(flooded(*pair, sink, sink.endpoint, given.threads, given.seconds))
        for side in given.sides:
            answers[side, "receiver away"] = [flooded(side, "exporting", sink, away, given.threads, 2 * given.seconds)]
    found = {pair: medians(rounds) for pair, rounds in answers.items()}
    return about(given.sides) | {
        "untraced": {"calls a second": round(found[UNTRACED]["calls a second"])},
        "states": {state: of_state(found, state, given.sides) for state in STATES},
    }


def flooded(side, state, sink, endpoint, threads, seconds):
    """Return the figures of one process from its start to its end."""
    before = sink.spans().get(f"{side} {state}", 0)
    with worker(side, state, endpoint) as running:
        flood = ask(running, "flood", threads=threads, seconds=seconds)
        ending, last = end(running)
    arrived, made = sink.spans().get(f"{side} {state}", 0) - before, flood["calls"]
    return {
        "calls": made,
        "calls a second": flood["rate"],
        "arrived, %": 100 * arrived / made,
        "lost and counted, %": 100 * last["lost"] / made,
        "lost silently, %": 100 * (made - arrived - last["lost"]) / made,
        "memory grown, MB": flood["grown"] / 1e6,
        "seconds to end": ending,
    }


def of_state(found, state, sides):
    """Return {measure: {side: figure}} of one state; where nothing is sent, nothing can be lost."""
    measures = [name for name in found[sides[0], state] if name != "calls"]
    if state == "recording":
        measures = ["calls a second"]
    return {
        name: compared({side: found[side, state][name] for side in sides}, more_is_better=name in MORE_IS_BETTER)
        for name in measures
    }


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=3, help="rounds of each side and state")
    arguments.add_argument("--seconds", type=float, default=2.0, help="length of a flood")
    arguments.add_argument("--threads", type=int, default=4, help="threads that call")
    given = arguments.parse_args()
    figures = run(given)
    show("four threads at full speed", figures["states"], given.sides)
    CONSOLE.print(f"untraced: {figures['untraced']['calls a second']:,} calls a second")
    finish(figures, given.json)


if __name__ == "__main__":
    main()
