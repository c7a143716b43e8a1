"""Random ids of traces and spans, safe across fork and independent of the application's `random.seed`."""

import os
import random

_random = random.Random()  # noqa: S311  # ids are no secrets
_getrandbits = _random.getrandbits

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


def new_trace_id() -> int:
    """Return a random, nonzero 128-bit trace id (W3C Trace Context level 2, random flag)."""
    while not (trace_id := _getrandbits(128)):
        pass
    return trace_id


def new_span_id() -> int:
    """Return a random, nonzero 64-bit span id."""
    while not (span_id := _getrandbits(64)):
        pass
    return span_id
