"""Functions in which a program waits until a signal stops it: what was recorded is delivered before that kills it.

A library file names such a function: `Patch("socketserver:BaseServer.serve_forever", serving.until_stopped)`.
"""

from collections.abc import Generator
from typing import Any

from mmtrace.instrumenting import serving


def until_stopped(
    wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Generator[None, Any, None]:
    """Wrapper of a function that returns when the program is to end."""
    with serving():
        yield
