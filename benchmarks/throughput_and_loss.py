"""What happens to spans, to memory and to the service's speed when four threads call a model as fast as they can.

    python benchmarks/throughput_and_loss.py [--rounds N] [--seconds S] [--sides SIDE ...] [--json FILE]

The telemetry is that of span_cost.py. Every round is a process of its own on one core, which floods, then ends as any
program does. States: recording, nothing is sent; exporting, to a receiver on another core, where there is one; receiver
away, its port refuses every connection (one round, twice as long: queues fill up, and some take long to end); away, no
spool, the same with MMTRACE_SPOOL=off, so that mmtrace has nothing but its queue, as the others always do. The spans
that were made are compared with those that arrived, those that are on disk for the next process of the service, and
those that the side itself counted as lost when it had ended: the rest was lost silently.
"""

from collections import defaultdict
from typing import NamedTuple

from processes import ask, end, medians, nobody, receiver, worker
from tables import CONSOLE, about, compared, finish, parser, show

SENT = ("recording", "exporting")
MORE_IS_BETTER = ("calls a second", "arrived, %", "kept on disk, %")


class Case(NamedTuple):
    """One side in one state of the table: how its process is configured, and how long it floods."""

    side: str
    name: str
    state: str
    endpoint: str
    seconds: float
    spool: str = "overflow"


def cases(given, endpoint, away):
    """Return the cases in the order in which they run."""
    often = [Case("untraced", "untraced", "untraced", endpoint, given.seconds)]
    often += [Case(side, state, state, endpoint, given.seconds) for state in SENT for side in given.sides]
    once = [Case(side, "receiver away", "exporting", away, 2 * given.seconds) for side in given.sides]
    if "mmtrace" in given.sides:
        once.append(Case("mmtrace", "away, no spool", "exporting", away, 2 * given.seconds, spool="off"))
    return often * given.rounds + once


def run(given):
    answers = defaultdict(list)
    with receiver() as sink, nobody() as away:
        for case in cases(given, sink.endpoint, away):
            answers[case.name, case.side].append(flooded(case, sink, given.threads))
    found = defaultdict(dict)
    for (name, side), rounds in answers.items():
        found[name][side] = medians(rounds)
    idle = found.pop("untraced")["untraced"]
    return about(given.sides) | {
        "untraced": {"calls a second": round(idle["calls a second"])},
        "states": {name: by_measure(sides) for name, sides in found.items()},
    }


def flooded(case, sink, threads):
    """Return the figures of one process from its start to its end."""
    service = f"{case.side} {case.state}"
    before = sink.spans().get(service, 0)
    with worker(case.side, case.state, case.endpoint, MMTRACE_SPOOL=case.spool) as running:
        flood = ask(running, "flood", threads=threads, seconds=case.seconds)
        ending, last = end(running)
    arrived, made = sink.spans().get(service, 0) - before, flood["calls"]
    sent = {
        "arrived, %": 100 * arrived / made,
        "kept on disk, %": 100 * last["spooled"] / made,
        "lost and counted, %": 100 * last["lost"] / made,
        "lost silently, %": 100 * (made - arrived - last["spooled"] - last["lost"]) / made,
        "memory grown, MB": flood["grown"] / 1e6,
        "seconds to end": ending,
    }
    return {"calls": made, "calls a second": flood["rate"]} | (sent if case.state == "exporting" else {})


def by_measure(sides):
    """Return {measure: {side: figure}} of {side: {measure: figure}}."""
    measures = [name for name in next(iter(sides.values())) if name != "calls"]
    return {
        name: compared({side: found[name] for side, found in sides.items()}, more_is_better=name in MORE_IS_BETTER)
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
