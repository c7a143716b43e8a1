"""The end of what serves: a process that ends past `atexit` delivers what was recorded before that.

A library file names the function in which a program waits until a signal stops it, or the last one that runs in a
process: `Patch("socketserver:BaseServer.serve_forever", serving.until_stopped)`.
"""

from collections.abc import Generator
from typing import Any, TypeAlias

from mmtrace.instrumenting import ending, serving

_Wrapper: TypeAlias = Generator[None, Any, None]


def until_stopped(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Wrapper:
    """Wrapper of a function in which the program waits for its end."""
    with serving():
        yield


def at_last(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Wrapper:
    """Wrapper of a function after which the process may be gone."""
    yield
    ending()
