"""Queues between threads and processes: what is put in carries its context and its time of arrival.

A queue has no headers, so that both ends have to agree: `carry(queue)` at the one that puts and at the one that gets.
An item that was put in without comes out as it is.
"""

import inspect
from typing import Any, Final

from opentelemetry.context import create_key

from mmtrace.calls.batch import Ticket
from mmtrace.calls.context import current_context, with_values
from mmtrace.calls.pulled import enter_pulled, leave_pulled
from mmtrace.recording.guard import never_raises

_TICKET: Final = create_key("mmtrace-ticket")


class CarryingQueue:
    """A queue of anybody's, of threads, processes, a manager or asyncio, that carries contexts.

    It is that queue in everything else, and pickles wherever that does.
    """

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    @property  # type: ignore[misc]  # isinstance() is to see the queue
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return type(self._queue)

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_queue"), name)

    def __repr__(self) -> str:
        return f"carry({self._queue!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return CarryingQueue, (self._queue,)

    def put(self, item: Any, *args: Any, **kwargs: Any) -> Any:
        """Put `item` in, with the current context and the time."""
        return self._queue.put(_packed(item), *args, **kwargs)

    def put_nowait(self, item: Any) -> Any:
        """Put `item` in, with the current context and the time, or raise as the queue does."""
        return self._queue.put_nowait(_packed(item))

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """Take an item out; its context is current in this thread or task until the next one is taken."""
        leave_pulled()
        item = self._queue.get(*args, **kwargs)
        return _opened_later(item) if inspect.iscoroutine(item) else _opened(item)

    def get_nowait(self) -> Any:
        """Take an item out, or raise as the queue does; its context is current until the next one is taken."""
        leave_pulled()
        return _opened(self._queue.get_nowait())

    @property
    def ticket(self) -> Ticket | None:
        """The ticket of the item in whose context this is, for `mmtrace.batch()`; None where there is none."""
        found = current_context().get(_TICKET)
        return found if isinstance(found, Ticket) else None


class Parcel:
    """An item on its way through a queue; it is compared as the item is, for queues that keep an order."""

    __slots__ = ("item", "ticket")

    def __init__(self, item: Any, ticket: Ticket) -> None:
        self.item = item
        self.ticket = ticket

    def __lt__(self, other: Any) -> bool:
        return bool(self.item < _item(other))

    def __gt__(self, other: Any) -> bool:
        return bool(self.item > _item(other))

    def __reduce__(self) -> tuple[Any, ...]:
        return Parcel, (self.item, self.ticket)


def _item(found: Any) -> Any:
    return found.item if isinstance(found, Parcel) else found


def _packed(item: Any) -> Any:
    ticket = never_raises(Ticket.now)()
    return item if ticket is None else Parcel(item, ticket)


def _opened(found: Any) -> Any:
    if isinstance(found, Parcel):
        _enter(found.ticket)
    return _item(found)


async def _opened_later(found: Any) -> Any:
    return _opened(await found)


@never_raises
def _enter(ticket: Ticket) -> None:
    enter_pulled(with_values(ticket.context, {_TICKET: ticket}))
