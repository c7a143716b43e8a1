"""The report as text for a terminal, and as JSON."""

import json
import textwrap
from collections.abc import Iterator
from typing import Final

from mmtrace.doctor.findings import Finding, Report, Section

_WIDTH: Final = 110
_MARKS: Final = {"ok": "ok", "note": "note", "problem": "PROBLEM"}
_INDENT: Final = " " * 11


def as_text(report: Report) -> str:
    """Return the report for a person, the verdict last."""
    parts = ["\n".join(_lines(section)) for section in report.sections]
    return "\n\n".join([f"mmtrace {report.version} doctor", *parts, _verdict(report)])


def as_json(report: Report) -> str:
    """Return the report for a program."""
    told = {
        "version": report.version,
        "healthy": not report.problems,
        "problems": report.problems,
        "sections": [
            {
                "title": section.title,
                "findings": [_finding(finding) for finding in section.findings],
                "facts": dict(section.facts),
            }
            for section in report.sections
        ],
    }
    return json.dumps(told, indent=2, ensure_ascii=False)


def _finding(finding: Finding) -> dict[str, str]:
    return {"level": finding.level, "text": finding.text, "advice": finding.advice}


def _lines(section: Section) -> Iterator[str]:
    yield section.title
    for line in section.lines:
        yield f"  {line}"
    for finding in section.findings:
        yield _wrapped(finding.text, f"  {_MARKS[finding.level]:<9}")
        if finding.advice:
            yield _wrapped(finding.advice, _INDENT)


def _wrapped(text: str, start: str) -> str:
    lines = textwrap.wrap(text, _WIDTH, initial_indent=start, subsequent_indent=_INDENT, break_long_words=False)
    return "\n".join(lines)


def _verdict(report: Report) -> str:
    if not report.problems:
        return "No problem was found."
    return "1 problem was found." if report.problems == 1 else f"{report.problems} problems were found."
