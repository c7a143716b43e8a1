"""One shard a thread, written by that thread alone and passed on when the thread is gone."""

import threading
from collections import deque
from typing import Generic, TypeVar

_S = TypeVar("_S")


class _Lease(Generic[_S]):
    """The hold of one thread on its shard: it dies with the thread's local storage and frees the shard."""

    __slots__ = ("_free", "_shard")

    def __init__(self, shard: _S, free: "deque[_S]") -> None:
        self._shard = shard
        self._free = free

    def __del__(self) -> None:
        self._free.append(self._shard)


class Sharded(Generic[_S]):
    """The base of what keeps a shard for each thread: `self._local.shard`, or an AttributeError before `_lease`.

    A shard that a dead thread leaves behind goes to the next new thread. So nothing in it is counted twice or lost, and
    there are never more shards than there were threads at once, also where a native library makes a new Python thread
    for each callback.
    """

    __slots__ = ("_free", "_local")

    def __init__(self) -> None:
        self.start_over()

    def start_over(self) -> None:
        """Forget all shards; leases of the old ones still free them, to where nobody looks."""
        self._local = threading.local()
        self._free: deque[_S] = deque()

    def _fresh(self) -> _S:
        """Return a new shard."""
        raise NotImplementedError

    def _lease(self) -> _S:
        """Give the calling thread a shard.

        The order of the last two steps matters: a finalizer that updates between them must find a shard that is this
        thread's own, and dropping the lease of such an update must not free the shard in use.
        """
        try:
            shard = self._free.pop()
        except IndexError:
            shard = self._fresh()
        self._local.shard = shard
        self._local.lease = _Lease(shard, self._free)
        return shard
