"""How numbers and moments are written: three significant digits and a unit; static/formats.js writes the same."""

import math
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Final

_UNITS: Final = (
    (7200.0, "h", 3600.0),
    (120.0, "min", 60.0),
    (1.0, "s", 1.0),
    (1e-3, "ms", 1e-3),
    (1e-6, "µs", 1e-6),
    (0.0, "ns", 1e-9),
)
_SIZES: Final = ("B", "kB", "MB", "GB", "TB")


def three(value: float) -> str:
    """Write `value` with three significant digits, and no exponent."""
    if not value:
        return "0"
    rounded = float(f"{value:.3g}")
    decimals = max(0, 2 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:.{decimals}f}"


def duration(seconds: float | None) -> str:
    """Write a duration: `12.3 ms`; nothing where there is none."""
    if seconds is None:
        return ""
    rounded = float(f"{seconds:.3g}")
    if rounded <= 0:
        return "0 ms"
    unit, factor = next((unit, factor) for least, unit, factor in _UNITS if rounded >= least)
    return f"{three(rounded / factor)} {unit}"


def rate(per_second: float | None) -> str:
    """Write a rate per second, or per minute where it is a slow one."""
    if per_second is None:
        return ""
    return f"{three(per_second)}/s" if per_second >= 0.1 or not per_second else f"{three(per_second * 60)}/min"


def percent(fraction: float) -> str:
    """Write a share of one: `74 %`; what is little but not nothing is `<1 %`."""
    if 0 < fraction < 0.01:
        return "<1 %"
    return f"{fraction * 100:.0f} %"


def ratio(fraction: float) -> str:
    """Write a ratio where small ones matter: `0.12 %`."""
    return f"{three(fraction * 100)} %"


def count(number: float) -> str:
    """Write a count with groups of thousands: `12,345`."""
    return f"{number:,.0f}"


def size(number: float) -> str:
    """Write a number of bytes: `12.3 MB`."""
    power = min(int(math.log(number, 1000)), len(_SIZES) - 1) if number >= 1 else 0
    return f"{three(number / 1000**power)} {_SIZES[power]}"


def sparkline(history: Sequence[int], height: int = 20) -> str:
    """Write counts as an SVG path: one unit across for each, the largest one `height` high."""
    most = max(history, default=0) or 1
    points = "".join(f"L{at} {height - (height - 2) * count / most:.1f}H{at + 1}" for at, count in enumerate(history))
    return f"M0 {height}{points}V{height}Z"


def iso(nanoseconds: int) -> str:
    """Write a moment in UTC as ISO 8601 with milliseconds."""
    seconds, rest = divmod(nanoseconds, 10**9)
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest // 10**6:03d}Z"


def nanoseconds(text: str) -> int:
    """Read a moment in ISO 8601, UTC where it names no zone; raises ValueError."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return round(aware.timestamp() * 1000) * 10**6


def trace_id(number: int) -> str:
    """Write the id of a trace as 32 hexadecimal digits."""
    return f"{number:032x}"


def span_id(number: int) -> str:
    """Write the id of a span as 16 hexadecimal digits."""
    return f"{number:016x}"
