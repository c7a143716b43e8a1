"""Random ids of traces and spans, safe across fork and independent of the application's `random.seed`.

One in 2**64 is zero, which is no id: whoever asks puts another in its place.
"""

import os
import random
from functools import partial
from typing import Final

_random = random.Random()  # noqa: S311  # ids are no secrets

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


new_trace_id: Final = partial(_random.getrandbits, 128)
"""Return a random 128-bit trace id (W3C Trace Context level 2, random flag)."""

new_span_id: Final = partial(_random.getrandbits, 64)
"""Return a random 64-bit span id."""
