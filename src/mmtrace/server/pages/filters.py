"""What a person asked for, as the address says it; every filter is in the address, so that a link shows the same."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

from mmtrace.server.pages.formats import nanoseconds
from mmtrace.server.store import TraceQuery

RANGES: Final = {
    "15m": ("Last 15 minutes", 15 * 60),
    "1h": ("Last hour", 3600),
    "6h": ("Last 6 hours", 6 * 3600),
    "24h": ("Last 24 hours", 24 * 3600),
    "7d": ("Last 7 days", 7 * 24 * 3600),
    "": ("Any time", None),
}
"""The ranges of time to choose from, by what the address says: (words, seconds)."""

_SECONDS: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "m": 60.0,
    "h": 3600.0,
}
_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-zµ]*)")
_MOST: Final = 1000
_USUAL: Final = 200


@dataclass(frozen=True, slots=True)
class Filters:
    """Which traces to show; `least` is a duration as the person wrote it, `start` and `end` moments in ISO 8601."""

    service: str = ""
    model: str = ""
    least: str = ""
    errors: bool = False
    text: str = ""
    range: str = ""
    start: str = ""
    end: str = ""
    order: str = ""
    limit: int = _USUAL

    @classmethod
    def of(cls, params: Mapping[str, str]) -> "Filters":
        """Read them from the parameters of an address; what makes no sense there is left out."""
        chosen = params.get("range", "")
        wanted = params.get("limit", "")[:6]
        return cls(
            service=params.get("service", ""),
            model=params.get("model", ""),
            least=params.get("min", "").strip(),
            errors=params.get("errors") in ("1", "true", "on"),
            text=params.get("text", "").strip(),
            range=chosen if chosen in RANGES else "",
            start=params.get("from", ""),
            end=params.get("to", ""),
            order="slowest" if params.get("order") == "slowest" else "",
            limit=min(max(int(wanted), 1), _MOST) if wanted.isdecimal() else _USUAL,
        )

    @property
    def problems(self) -> tuple[str, ...]:
        """What cannot be understood, each said with what would be right."""
        return tuple(
            message
            for value, read, message in (
                (self.least, seconds, f"“{self.least}” is no duration: write 100 ms, 1.5 s or 2 min."),
                (self.start, nanoseconds, f"“{self.start}” is no moment: write 2026-11-22T17:00:00Z."),
                (self.end, nanoseconds, f"“{self.end}” is no moment: write 2026-11-22T17:00:00Z."),
            )
            if value and _readable(read, value) is None
        )

    @property
    def narrowed(self) -> bool:
        """Whether anything is left out."""
        return replace(self, order="", limit=_USUAL) != Filters()

    def bounds(self) -> tuple[int | None, int | None]:
        """Return the first and the last moment that is asked for, in nanoseconds; None where it is open."""
        span = RANGES[self.range][1]
        since = time.time_ns() - span * 10**9 if span else None
        return (
            _readable(nanoseconds, self.start) if self.start else since,
            _readable(nanoseconds, self.end) if self.end else None,
        )

    def query(self) -> TraceQuery:
        """Return the question for the store; what cannot be understood asks for nothing."""
        start, end = self.bounds()
        return TraceQuery(
            service=self.service or None,
            model=self.model or None,
            min_duration=_readable(seconds, self.least) if self.least else None,
            errors_only=self.errors,
            text=self.text,
            start_ns=start,
            end_ns=end,
            limit=_MOST if self.order else self.limit,
        )

    def address(self, path: str = "/", **changes: Any) -> str:
        """Return the address that shows the same, with `changes`."""
        it = replace(self, **changes)
        parameters = {
            "service": it.service,
            "model": it.model,
            "min": it.least,
            "errors": "1" if it.errors else "",
            "text": it.text,
            "range": it.range,
            "from": it.start,
            "to": it.end,
            "order": it.order,
            "limit": "" if it.limit == _USUAL else str(it.limit),
        }
        given = urlencode({key: value for key, value in parameters.items() if value})
        return f"{path}?{given}" if given else path


def seconds(text: str) -> float:
    """Read a duration such as `100ms`, `1.5 s` or `2 min`, milliseconds where it has no unit; raises ValueError."""
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or match[2] not in _SECONDS:
        raise ValueError(f"{text!r} is no duration")
    return float(match[1]) * _SECONDS[match[2]]


def _readable(read: Any, text: str) -> Any:
    try:
        return read(text)
    except (ValueError, OverflowError):
        return None
