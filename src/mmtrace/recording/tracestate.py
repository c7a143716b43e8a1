"""The tracestate of W3C Trace Context, level 2."""

import logging
import re
from collections.abc import Iterable, Sequence
from typing import Final

from opentelemetry.trace import TraceState

from mmtrace.recording.guard import report

MAX_MEMBERS: Final = 32
MAX_LENGTH: Final = 8192
"""Characters of all tracestate headers together."""

_KEY: Final = re.compile(r"[a-z0-9][_0-9a-z\-*/@]{0,255}")
_VALUE: Final = re.compile(r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")


class W3CTraceState(TraceState):
    """A tracestate whose keys follow level 2; it is empty where anything in it is malformed or one too many.

    Source: https://www.w3.org/TR/trace-context-2/#tracestate-header.
    """

    def __init__(self, entries: Sequence[tuple[str, str]] | None = None) -> None:
        super().__init__()
        self._dict = _checked(entries or ())

    @classmethod
    def from_header(cls, header_list: list[str]) -> "W3CTraceState":
        """Return what the values of one or more tracestate headers say together."""
        if sum(map(len, header_list)) + len(header_list) > MAX_LENGTH + 1:
            _refuse("is too long")
            return cls()
        members = (member.strip(" \t") for header in header_list for member in header.split(","))
        return cls([_pair(member) for member in members if member])

    def add(self, key: str, value: str) -> TraceState:
        """Return the tracestate with a new member in front; itself where that is not allowed."""
        return self if key in self._dict else self.update(key, value)

    def update(self, key: str, value: str) -> TraceState:
        """Return the tracestate with the member set and in front; itself where that is not allowed."""
        rest = [(name, text) for name, text in self._dict.items() if name != key]
        if not _is_member(key, value) or len(rest) >= MAX_MEMBERS:
            _refuse("would not be valid with another member")
            return self
        return W3CTraceState([(key, value), *rest])

    def delete(self, key: str) -> TraceState:
        """Return the tracestate without the member `key`."""
        return W3CTraceState([(name, text) for name, text in self._dict.items() if name != key])


def _pair(member: str) -> tuple[str, str]:
    key, _, value = member.partition("=")
    return key, value


def _checked(entries: Iterable[tuple[str, str]]) -> dict[str, str]:
    members: dict[str, str] = {}
    for key, value in entries:
        if not _is_member(key, value):
            return _refuse("has a malformed member")
        members.setdefault(key, value)
    return members if len(members) <= MAX_MEMBERS else _refuse("has more than 32 members")


def _is_member(key: object, value: object) -> bool:
    return (
        isinstance(key, str)
        and isinstance(value, str)
        and _KEY.fullmatch(key) is not None
        and _VALUE.fullmatch(value) is not None
    )


def _refuse(why: str) -> dict[str, str]:
    report("tracestate", f"mmtrace: a tracestate {why} and was left out", level=logging.DEBUG)
    return {}
