"""The event loop of a thread: how late it runs what is due is measured while it runs.

A library file names the function that runs a loop: `Patch("uvloop:Loop.run_forever", loop.measured)`.
"""

from collections.abc import Generator
from typing import Any

from mmtrace.instrumenting import loops


def measured(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Generator[None, Any, None]:
    """Wrapper of the method that runs a loop until it is stopped."""
    with loops.running(instance):
        yield
