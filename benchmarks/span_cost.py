"""What one call of a model costs: mmtrace and the stock SDK, the same telemetry, in the same run.

    python benchmarks/span_cost.py [--rounds N] [--seconds S] [--rate R] [--json FILE]

Every side and state is a process of its own on one core; the receiver is on another, where there is one. The hot path
is what a call takes at full speed, by the clock and of its thread's CPU: medians of interleaved rounds of 400 calls.
CPU is that of the whole process, with the thread that exports, at a paced rate, less that of the same loop untraced.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import urllib.request
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sides import STATES, environment

HERE = Path(__file__).parent
CALLS = 400
SIDES = ("stock", "mmtrace")
PAIRS = [("untraced", "untraced"), *[(side, state) for state in STATES for side in SIDES]]
MEASURES = {"wall_us": "hot path, clock", "thread_us": "hot path, CPU", "cpu_us": "all threads, CPU, paced"}


@contextmanager
def process(script, *arguments, **variables):
    """Run a script of this folder and give it, and the first line that it prints; it ends with its standard input."""
    known = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "MMTRACE_"))}
    command = [sys.executable, str(HERE / script), *arguments]
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=known | variables)
    try:
        yield running, first_line(running)
    finally:
        with suppress(BrokenPipeError):
            running.stdin.close()
        running.stdout.close()
        running.wait()


def first_line(running):
    line = running.stdout.readline()
    if not line:
        raise SystemExit(f"{' '.join(map(repr, running.args))} failed")
    return line


def ask(worker, **what):
    worker.stdin.write(json.dumps(what) + "\n")
    worker.stdin.flush()
    return json.loads(first_line(worker))


def measure(workers, rounds, what):
    """Ask every worker in turn, so that whatever else the machine does hits all of them; return medians and calls."""
    answers = {pair: [] for pair in workers}
    for _ in range(rounds):
        for pair, worker in workers.items():
            answers[pair].append(ask(worker, **what))
    return {pair: summary(found) for pair, found in answers.items()}


def summary(answers):
    medians = {key: statistics.median(answer[key] for answer in answers) for key in answers[0]}
    return medians | {"calls": sum(answer["calls"] for answer in answers)}


def run(rounds, seconds, rate):
    with ExitStack() as stack:
        _, port = stack.enter_context(process("sink.py"))
        endpoint = f"http://127.0.0.1:{int(port)}"
        workers = {}
        for side, state in PAIRS:
            variables = environment(state, endpoint, f"{side} {state}")
            workers[side, state], _ = stack.enter_context(process("worker.py", side, state, **variables))
        hot = measure(workers, rounds, {"burst": CALLS})
        paced = measure(workers, 3, {"paced": rate, "seconds": seconds})
        with urllib.request.urlopen(endpoint) as answer:
            delivered = json.load(answer)
    made = {pair: hot[pair]["calls"] + paced[pair]["calls"] for pair in workers}
    return report({pair: hot[pair] | paced[pair] for pair in workers}, made, delivered)


def report(found, made, delivered):
    """Return all figures: microseconds a call, ratios stock / mmtrace, and how many spans arrived."""
    idle = found["untraced", "untraced"]
    states = {}
    for state in STATES:
        sides = {side: figures_of(found[side, state], idle) for side in SIDES}
        ratios = {key: round(sides["stock"][key] / max(sides["mmtrace"][key], 0.01), 1) for key in MEASURES}
        states[state] = {**sides, "stock / mmtrace": ratios}
    arrived = {
        side: {"calls": made[side, "exporting"], "spans": delivered.get(f"{side} exporting", 0)} for side in SIDES
    }
    return {
        "python": platform.python_version(),
        "opentelemetry-sdk": version("opentelemetry-sdk"),
        "untraced": {key: round(idle[key], 2) for key in MEASURES},
        "states": states,
        "delivered": arrived,
    }


def figures_of(found, idle):
    figures = {key: round(found[key], 2) for key in MEASURES}
    return figures | {"cpu_us": round(found["cpu_us"] - idle["cpu_us"], 2)}


def show(figures):
    title = f"microseconds a call of a model (Python {figures['python']}, SDK {figures['opentelemetry-sdk']})"
    table = Table("state", "measure", title=title)
    for heading in (*SIDES, "ratio"):
        table.add_column(heading, justify="right")
    for state, found in figures["states"].items():
        for key, measure_name in MEASURES.items():
            first = key == "wall_us"
            table.add_row(state if first else "", measure_name, *[f"{side[key]:.1f}" for side in found.values()])
        table.add_section()
    console = Console()
    console.print(table)
    for side, found in figures["delivered"].items():
        console.print(f"{side}: {found['spans']} of {found['calls']} spans arrived")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="rounds at full speed")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each of three paced rounds")
    parser.add_argument("--rate", type=float, default=5000.0, help="calls a second in the paced rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    arguments = parser.parse_args()
    figures = run(arguments.rounds, arguments.seconds, arguments.rate)
    show(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
