"""Percentiles of measured values."""

import math
from collections.abc import Sequence


def percentile(ordered: Sequence[float], fraction: float) -> float:
    """Return the value below which `fraction` (0 to 1) of `ordered` lies, interpolated between neighbours.

    Raises ValueError where there is no value.
    """
    if not ordered:
        raise ValueError("there is no percentile of nothing")
    position = fraction * (len(ordered) - 1)
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def p95(values: Sequence[float]) -> float | None:
    """Return the 95th percentile of `values` in any order, None where there are none."""
    return percentile(sorted(values), 0.95) if values else None
