"""Functions of every kind, importable by a spawned process."""

import mmtrace


@mmtrace.model("adder")
def add(first: int, second: int = 2) -> int:
    """Add two numbers."""
    return first + second


@mmtrace.model("adder")
async def add_later(first: int, second: int = 2) -> int:
    """Add two numbers, later."""
    return first + second


@mmtrace.model("counter")
def count(last: int):
    """Count."""
    yield from range(last)


@mmtrace.model("counter")
async def count_later(last: int):
    """Count, later."""
    for number in range(last):
        yield number
