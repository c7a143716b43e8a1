"""The two clocks of a span: wall time says when it began, monotonic time how long it took."""

import time
from typing import Final

wall: Final = time.time_ns
"""Nanoseconds since the epoch; may step when the host's clock is set."""

monotonic: Final = time.perf_counter_ns
"""Nanoseconds since an arbitrary moment; never goes back."""
