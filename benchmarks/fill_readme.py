"""Write the figures that `make bench` left in benchmarks/results/ into the tables of README.md.

    python benchmarks/fill_readme.py

A table stands between `<!-- NAME -->` and `<!-- end -->`; one whose results are not there stays as it is.
"""

import json
import re
from pathlib import Path

HERE = Path(__file__).parent
PLACE = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def states_table(figures):
    """Return {state: {measure: {column: figure}}} as a table, with its columns in the order of the first row."""
    rows = [(state, name, row) for state, found in figures["states"].items() for name, row in found.items()]
    columns = list(max((row for _, _, row in rows), key=len))
    lines = [("state", "measure", *columns)]
    before = None
    for state, name, row in rows:
        lines.append(("" if state == before else state, name, *(cell(row, column) for column in columns)))
        before = state
    return lines


def imports_table(figures):
    measures = ("milliseconds", "milliseconds of CPU", "modules")
    rows = [(f"`{name}`", *(figures[measure][name] for measure in measures)) for name in figures["modules"]]
    return [("statement", *measures), *rows]


def ingest_table(figures):
    served = figures["serve"]
    memory = f"{served['memory_idle'] / 1e6:.0f} MB, at most {served['memory_peak'] / 1e6:.0f} MB"
    return [
        ("spans a second", "spans a CPU second", "memory", "lost"),
        (shown(served["spans_per_second"]), shown(served["spans_per_cpu_second"]), memory, served["lost"]),
    ]


def cell(row, column):
    return str(row.get(column, "")) if column == "ratio" else shown(row.get(column))


def shown(figure):
    if figure is None:
        return ""
    return f"{figure:,.0f}" if abs(figure) >= 1000 else f"{figure:.1f}" if abs(figure) >= 10 else f"{figure:.2f}"


SHAPES = {"import_time": imports_table, "serve_ingest": ingest_table}


def filled(place):
    """Return a place of the README with the table of its program."""
    name = place[2]
    file = HERE / "results" / f"{name}.json"
    if not file.exists():
        return place[0]
    head, *rows = SHAPES.get(name, states_table)(json.loads(file.read_text()))
    lines = [head, ["---"] * len(head), *rows]
    return place[1] + "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines) + place[3]


def main():
    readme = HERE / "README.md"
    readme.write_text(PLACE.sub(filled, readme.read_text()))


if __name__ == "__main__":
    main()
