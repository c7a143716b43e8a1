"""Rules of Prometheus as values: recorded series, alerts, and groups of both."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Severity: TypeAlias = Literal["page", "ticket"]


@dataclass(frozen=True, slots=True)
class Recording:
    """A series that Prometheus keeps: `record` is its name, `expr` its PromQL."""

    record: str
    expr: str

    def as_data(self) -> dict[str, Any]:
        """Return the rule as a rule file has it."""
        return {"record": self.record, "expr": self.expr}


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert: `name` fires where `expr` has held for `lasting`.

    `page`: somebody must look now; `ticket`: somebody must look today. `advice` says where to look first.
    """

    name: str
    expr: str
    severity: Severity
    summary: str
    advice: str
    lasting: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def as_data(self) -> dict[str, Any]:
        """Return the rule as a rule file has it."""
        return {
            "alert": self.name,
            "expr": self.expr,
            **({"for": self.lasting} if self.lasting else {}),
            "labels": {"severity": self.severity, **self.labels},
            "annotations": {"summary": self.summary, "description": self.advice},
        }


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after the other, every `interval`."""

    name: str
    rules: tuple[Recording | Alert, ...]
    interval: str = "30s"

    def as_data(self) -> dict[str, Any]:
        """Return the group as a rule file has it."""
        return {"name": self.name, "interval": self.interval, "rules": [rule.as_data() for rule in self.rules]}
