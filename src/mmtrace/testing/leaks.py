"""What a test must not leave behind: threads, and a context that is still current."""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from opentelemetry import context

_PATIENCE: Final = 2.0


@contextmanager
def no_leaks() -> Generator[None]:
    """Raise AssertionError where threads still run, or another context is current, when the block is left."""
    threads, current = set(threading.enumerate()), context.get_current()
    yield
    assert context.get_current() == current, f"a context is still current: {context.get_current()}"
    left = _left(threads)
    assert not left, f"threads still run: {left}"


def _left(before: set[threading.Thread]) -> list[str]:
    deadline = time.monotonic() + _PATIENCE
    while left := [thread.name for thread in threading.enumerate() if thread not in before]:
        if time.monotonic() > deadline:
            return left
        time.sleep(0.01)
    return []
