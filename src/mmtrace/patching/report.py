"""What was patched, what waits, what was too late and why: rows first, text second."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

State = Literal["patched", "waiting", "too late", "failed", "stepped aside", "off"]

NOT_INSTALLED: Final = "not installed"
"""The `why` of a library that this environment lacks."""

_MEANING: Final = {"waiting": "nothing has imported it"}


@dataclass(frozen=True)
class Row:
    """The state of one target of one library; `version` is empty where it is not known yet."""

    library: str
    version: str
    target: str
    state: State
    why: str = ""


def render(rows: Iterable[Row]) -> str:
    """Return the rows as a table of text, what fared alike in one line, then the libraries that are not in use."""
    known = list(rows)
    imported = {row.library for row in known if row.state != "waiting" and row.why != NOT_INSTALLED}
    shown = [row for row in known if row.library in imported]
    lines = table([("library", "version", "target", "state", "why"), *_cells(shown)]) if shown else []
    lines += _line("not imported", [row for row in known if row not in shown and row.why != NOT_INSTALLED])
    lines += _line(NOT_INSTALLED, [row for row in known if row not in shown and row.why == NOT_INSTALLED])
    return "\n".join(lines) or "no instrumentation was found"


def _line(title: str, rows: Iterable[Row]) -> list[str]:
    libraries = sorted({row.library for row in rows})
    return [f"{title}: {', '.join(libraries)}"] if libraries else []


def _cells(rows: Iterable[Row]) -> Iterator[tuple[str, ...]]:
    alike: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        alike.setdefault((row.library, row.state, row.why), []).append(row)
    for (library, state, why), group in alike.items():
        target = group[0].target if len(group) == 1 else f"{len(group)} targets"
        yield library, group[0].version, target, state, why or _MEANING.get(state, "")


def table(lines: list[tuple[str, ...]]) -> list[str]:
    """Return lines of text with the cells of each column below each other."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
