"""What a test must not leave behind: threads, patches, and a context that is still current."""

import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from opentelemetry import context

from mmtrace.patching.hooks import ImportHooks

_PATIENCE: Final = 2.0


@contextmanager
def no_leaks() -> Generator[None]:
    """Raise AssertionError where threads run, patches stay or another context is current when the block is left."""
    threads, patched, current = set(threading.enumerate()), _patched(), context.get_current()
    yield
    assert _patched() == patched, "something is still instrumented"
    assert context.get_current() == current, f"a context is still current: {context.get_current()}"
    left = _left(threads)
    assert not left, f"threads still run: {left}"


def _patched() -> set[int]:
    """Identify the engines that have patched something: their import hooks are in place."""
    return {id(finder) for finder in sys.meta_path if isinstance(finder, ImportHooks)}


def _left(before: set[threading.Thread]) -> list[str]:
    deadline = time.monotonic() + _PATIENCE
    while left := [thread.name for thread in threading.enumerate() if thread not in before]:
        if time.monotonic() > deadline:
            return left
        time.sleep(0.01)
    return []
