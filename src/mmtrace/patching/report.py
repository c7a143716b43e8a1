"""What was patched, what waits, what was too late and why: rows first, text second."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

State = Literal["patched", "waiting", "too late", "failed", "stepped aside", "off"]

NOT_INSTALLED: Final = "not installed"
"""The `why` of a library that this environment lacks."""


@dataclass(frozen=True)
class Row:
    """The state of one target of one library; `version` is empty where it is not known yet."""

    library: str
    version: str
    target: str
    state: State
    why: str = ""


def render(rows: Iterable[Row]) -> str:
    """Return the rows as a table of text, what is not installed in its last line."""
    known = list(rows)
    shown = [row for row in known if row.why != NOT_INSTALLED]
    absent = sorted({row.library for row in known if row.why == NOT_INSTALLED})
    lines = _table([("library", "version", "target", "state", "why"), *map(_cells, shown)]) if shown else []
    if absent:
        lines.append(f"{NOT_INSTALLED}: {', '.join(absent)}")
    return "\n".join(lines) or "no instrumentation was found"


def _cells(row: Row) -> tuple[str, ...]:
    return row.library, row.version, row.target, row.state, row.why


def _table(lines: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
