"""How fast spans go to disk while the receiver is away, and how fast the next process of the service sends them.

    python benchmarks/spool_throughput.py [--rounds N] [--seconds S] [--modes MODE ...] [--json FILE]

A process on one core calls a model as fast as it can, with nobody to send to, and ends; then the receiver is back, on
another core, where there is one, and another process of the same service makes one more call. mmtrace runs with each
value of MMTRACE_SPOOL; the stock SDK has no spool, and its column says what is lost without one. Spans a second into
the spool are counted until the process has ended, those out of it from the start of the next one until all have
arrived or no more come. Figures are medians of interleaved rounds, but stock's are of one: it takes long to end.
"""

import tempfile
import time

from processes import ask, end, medians, nobody, receiver, worker
from tables import about, finish, parser, show

MODES = ("stock", "off", "overflow", "always")
QUIET = 3.0


def run(given):
    answers = {mode: [] for mode in given.modes}
    with receiver() as sink, nobody() as away:
        for number in range(given.rounds):
            for mode in given.modes:
                if mode != "stock" or number == 0:
                    answers[mode].append(round_of(mode, sink, away, given.seconds))
    found = {mode: medians(rounds) for mode, rounds in answers.items()}
    states = {
        state: {name: {mode: round(found[mode][name], 2) for mode in given.modes} for name in names}
        for state, names in (("receiver away", AWAY), ("receiver back", BACK))
    }
    return about(["stock", "mmtrace"], peers=()) | {"states": states}


def round_of(mode, sink, away, seconds):
    """Return the figures of one process while the receiver is away and of the next one when it is back."""
    side, variables = ("stock", {}) if mode == "stock" else ("mmtrace", {"MMTRACE_SPOOL": mode})
    with tempfile.TemporaryDirectory() as folder:
        variables["MMTRACE_SPOOL_DIR"] = folder
        into = filled(side, away, variables, seconds)
        out = emptied(side, sink, variables, into["spooled"])
    made, kept = into["calls"], into["spooled"]
    return {
        "calls": made,
        "calls a second": into["rate"],
        "spans a second to disk": kept / into["seconds"],
        "kept on disk, %": 100 * kept / made,
        "lost and counted, %": 100 * into["lost"] / made,
        "lost silently, %": 100 * (made - kept - into["lost"]) / made,
        "seconds to end": into["ending"],
        "spans a second from disk": out["rate"],
        "arrived at last, %": 100 * out["arrived"] / made,
    }


AWAY = (
    "calls a second",
    "spans a second to disk",
    "kept on disk, %",
    "lost and counted, %",
    "lost silently, %",
    "seconds to end",
)
BACK = ("spans a second from disk", "arrived at last, %")


def filled(side, away, variables, seconds):
    """Return what a process did with its spans until it had ended, with nobody to send them to."""
    with worker(side, "exporting", away, **variables) as running:
        began = time.perf_counter()
        flood = ask(running, "flood", threads=1, seconds=seconds)
        ending, last = end(running)
        return flood | last | {"ending": ending, "seconds": time.perf_counter() - began}


def emptied(side, sink, variables, kept):
    """Return how many of the spans that were kept the next process delivered, and how many that were a second."""
    service = f"{side} exporting"
    before = sink.spans().get(service, 0)
    with worker(side, "exporting", sink.endpoint, **variables) as running:
        began = changed = time.perf_counter()
        arrived, made = 0, ask(running, "burst", calls=1)["calls"]
        while arrived < kept and time.perf_counter() - changed < QUIET:
            now = sink.spans().get(service, 0) - before - made
            arrived, changed = now, changed if now == arrived else time.perf_counter()
            time.sleep(0.01)
    arrived = max(0, arrived)
    return {"arrived": arrived, "rate": arrived / max(changed - began, 0.001)}


def main():
    arguments = parser(__doc__, sides=())
    arguments.add_argument("--modes", nargs="+", choices=MODES, default=MODES, help="stock, values of MMTRACE_SPOOL")
    arguments.add_argument("--rounds", type=int, default=3, help="rounds of each mode")
    arguments.add_argument("--seconds", type=float, default=2.0, help="how long the calls are made")
    given = arguments.parse_args()
    figures = run(given)
    show("one thread at full speed, and the next process", figures["states"], given.modes)
    finish(figures, given.json)


if __name__ == "__main__":
    main()
