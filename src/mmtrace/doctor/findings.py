"""What a check found, and the report of all of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Level: TypeAlias = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found; `advice` is what would be right."""

    level: Level
    text: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Findings that belong together; `lines` are facts beside them."""

    title: str
    findings: tuple[Finding, ...] = ()
    lines: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was found."""

    version: str
    sections: tuple[Section, ...]

    @property
    def problems(self) -> int:
        """How many problems there are."""
        return sum(finding.level == "problem" for finding in self._findings())

    def _findings(self) -> Iterator[Finding]:
        for section in self.sections:
            yield from section.findings
