"""Threads and locks of the operating system, also where gevent puts greenlets in their place, sooner or later.

A greenlet that sends would keep all others waiting in a call of gRPC, and a lock of the one kind never wakes those who
wait by the other. So what sends is a thread in every process, and whatever it shares with others is native too.
"""

import _thread
import sys
import threading
from _queue import SimpleQueue
from collections.abc import Callable
from types import BuiltinFunctionType
from typing import Any, Final

__all__ = ["Event", "SimpleQueue", "Thread", "allocate_lock", "get_ident", "start_new_thread"]


def _original(name: str) -> Any:
    monkey: Any = sys.modules.get("gevent.monkey")
    return getattr(_thread, name) if monkey is None else monkey.get_original("_thread", name)


allocate_lock: Final[Callable[[], _thread.LockType]] = _original("allocate_lock")
get_ident: Final[Callable[[], int]] = _original("get_ident")
start_new_thread: Final[Callable[..., int]] = _original("start_new_thread")


class Event:
    """What one thread waits for and another one says, once."""

    __slots__ = ("_closed", "_is_set")

    def __init__(self) -> None:
        self._is_set = False
        self._closed = allocate_lock()
        self._closed.acquire()

    def is_set(self) -> bool:
        """Whether it was said."""
        return self._is_set

    def set(self) -> None:
        """Say it, once."""
        self._is_set = True
        self._closed.release()

    def wait(self, timeout: float) -> bool:
        """Wait for it, at most so many seconds; whether it was said."""
        if not self._is_set and self._closed.acquire(timeout=timeout):
            self._closed.release()
        return self._is_set


class Thread:
    """A daemon thread that runs `target`; started when it is made, which raises RuntimeError where none can be."""

    def __init__(self, target: Callable[..., object], args: tuple[Any, ...], name: str) -> None:
        self._target = target
        self._args = args
        self._ended = Event()
        self._ident = 0
        if _threads_are_native():
            threading.Thread(target=self._run, name=name, daemon=True).start()
        else:
            start_new_thread(self._run, ())

    def _run(self) -> None:
        self._ident = get_ident()
        try:
            self._target(*self._args)
        finally:
            self._ended.set()

    @property
    def is_current(self) -> bool:
        """Whether the caller runs in it."""
        return self._ident == get_ident()

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return not self._ended.is_set()

    def join(self, timeout: float) -> None:
        """Wait until it has ended, at most so many seconds."""
        self._ended.wait(timeout)


def _threads_are_native() -> bool:
    """Whether a `threading.Thread` is a thread, which is better: it is listed, and has a name."""
    return isinstance(_thread.start_new_thread, BuiltinFunctionType)
