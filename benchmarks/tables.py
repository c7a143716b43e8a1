"""What all benchmarks share: the command line, the table, the machine, and JSON."""

import argparse
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from sides import PEERS, RECORDERS, STATES

CONSOLE = Console()
if not CONSOLE.is_terminal:
    CONSOLE.width = 120


def parser(text, *, sides=RECORDERS, states=()):
    """Return the parser of a program's arguments: `text` is its docstring, `sides` and `states` what it runs."""
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    if sides:
        made.add_argument("--sides", nargs="+", choices=sides, default=sides, help="who is measured")
    if states:
        made.add_argument("--states", nargs="+", choices=STATES, default=states, help="in which states")
    return made


def about(sides, peers=PEERS):
    """Return what ran and on what machine, and which of the `peers` are not installed."""
    versions = {"stock": "opentelemetry-sdk", "mmtrace": "mmtrace"}
    return {
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {processor()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": {side: version(versions.get(side, side)) for side in sides},
        "not installed": [peer for peer in peers if peer not in RECORDERS],
    }


def processor():
    """Return the name of the processor, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def by_state(found, sides, states, measures, idle=None):
    """Return {state: {measure: {side: figure}}} of what workers found, less the `idle` figures where there are some."""
    less = idle or dict.fromkeys(measures, 0)
    return {
        state: {
            name: compared({side: found[side, state][key] - less[key] for side in sides})
            for key, name in measures.items()
        }
        for state in states
    }


def compared(found, *, more_is_better=False):
    """Return figures of sides, rounded, and as `ratio` how many times better mmtrace is than stock."""
    rounded = {side: round(figure, 2) for side, figure in found.items()}
    stock, ours = found.get("stock", 0), found.get("mmtrace", 0)
    above, below = (ours, stock) if more_is_better else (stock, ours)
    return rounded | {"ratio": round(above / below, 1)} if min(stock, ours) > 0 else rounded


def show(title, groups, sides, *, digits=1):
    """Print `groups`, {state: {measure: {side: figure}}}, as a table."""
    headings = [*sides, "ratio"] if "mmtrace" in sides and "stock" in sides else sides
    table = Table("state", Column("measure", no_wrap=True), title=title)
    for heading in headings:
        table.add_column(heading, justify="right")
    for group, measures in groups.items():
        for number, (measure, found) in enumerate(measures.items()):
            cells = [written(found.get(heading), 1 if heading == "ratio" else digits) for heading in headings]
            table.add_row(group if number == 0 else "", measure, *cells)
        table.add_section()
    CONSOLE.print(table)


def written(figure, digits):
    return "" if figure is None else f"{figure:,.{digits}f}"


def finish(figures, file):
    """Print what ran, and write the figures to `file` where one is wanted."""
    versions = ", ".join(f"{name} {number}" for name, number in figures["versions"].items())
    CONSOLE.print(f"Python {figures['python']}, {figures['machine']}; {versions}")
    for peer in figures["not installed"]:
        CONSOLE.print(f"{peer} is left out: it is not installed (`make bench` installs it)")
    if file:
        file.write_text(json.dumps(figures, indent=2) + "\n")
