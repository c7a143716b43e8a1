"""Functions of every kind, importable by a spawned process."""

import asyncio

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


class Classifier:
    """Calls of every kind but a plain function's."""

    __slots__ = ()

    @mmtrace.model("by-class")
    @classmethod
    def by_class(cls, item):
        return cls.__name__, item

    @mmtrace.model("static")
    @staticmethod
    def static(last):
        yield from range(last)

    async def __call__(self, item):
        await asyncio.sleep(0)
        return item


class Reader:
    """An object that answers in items."""

    __slots__ = ("first",)

    def __init__(self, first):
        self.first = first

    def __call__(self, last):
        yield from range(self.first, last)
