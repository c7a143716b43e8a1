"""The thread of a pipeline: started at the first item, woken without locks, gone with its pipeline."""

import math
import queue
import threading
from collections.abc import Callable
from typing import TypeAlias
from weakref import WeakMethod

from opentelemetry import context

from mmtrace.recording.guard import never_raises, report
from mmtrace.transport.native import SimpleQueue, Thread, start_new_thread
from mmtrace.transport.tally import Once

Turn: TypeAlias = Callable[[], "float | None"]
"""Does what is due; returns how many seconds to sleep, infinity until woken, None to end."""


def suppressed() -> context.Context:
    """Return the current context in which no instrumentation records: our own requests are never traced."""
    return context.set_value(context._SUPPRESS_INSTRUMENTATION_KEY, True)


class Worker:
    """Runs `turn` whenever it is woken or its sleep ends, in a daemon thread that holds the turn's owner weakly.

    `wake` may be called by a finalizer, so it must not start a `threading.Thread`, whose start takes a plain lock and
    waits for the thread. It starts a bare thread instead, whose only work is to start the real one. A wake-up is
    never lost: the turn says what it listens for before it looks at the queue for the last time, and whoever adds
    looks at that after it added; of the two, one sees the other. `SimpleQueue.put` is reentrant by contract.
    """

    def __init__(self, turn: Turn, name: str) -> None:
        tokens = SimpleQueue[None]()
        self._tokens = tokens
        self._turn: WeakMethod[Turn] = WeakMethod(turn, lambda _: tokens.put(None))
        self._name = name
        self._thread: Thread | None = None
        self._start_right = Once()

    def wake(self) -> None:
        """Run the turn soon; starts the thread where there is none."""
        self._tokens.put(None)
        if self._start_right.take():
            try:
                start_new_thread(self._start, ())
            except RuntimeError as error:
                self._not_started(error)

    def sleep(self, seconds: float) -> None:
        """Wait in the thread itself until woken, at most so long."""
        _sleep(self._tokens, seconds)

    def serves(self) -> bool:
        """Whether a thread runs that will take a turn; starts it where there is none. Waits, so `add` never asks."""
        if self._start_right.take():
            self._start()
        thread = self._thread
        return self.has_started and (thread is None or thread.is_alive())

    @property
    def has_started(self) -> bool:
        """Whether the thread was started, or is about to be."""
        return self._start_right.is_taken

    @property
    def is_current(self) -> bool:
        """Whether the caller runs in the thread itself."""
        return self._thread is not None and self._thread.is_current

    def join(self, timeout: float) -> None:
        """Wait until the thread has ended, at most so long."""
        if self._thread is not None and not self.is_current:
            self._thread.join(max(0.0, timeout))

    def _start(self) -> None:
        try:
            self._thread = Thread(_work, (self._turn, self._tokens), self._name)
        except RuntimeError as error:
            self._not_started(error)

    def _not_started(self, error: RuntimeError) -> None:
        self._start_right.put_back()
        if "shutdown" not in str(error):  # at the end of the interpreter the last flush sends in its own thread
            report("mmtrace.transport.thread", f"mmtrace: the thread that sends telemetry did not start: {error}")


@never_raises
def _work(turn: "WeakMethod[Turn]", tokens: "SimpleQueue[None]") -> None:
    context.attach(suppressed())
    while (pause := _one_turn(turn)) is not None:
        _sleep(tokens, pause)


def _sleep(tokens: "SimpleQueue[None]", seconds: float) -> None:
    try:
        tokens.get(timeout=None if seconds == math.inf else min(max(0.0, seconds), threading.TIMEOUT_MAX))
        while not tokens.empty():
            tokens.get_nowait()
    except queue.Empty:
        pass


def _one_turn(turn: "WeakMethod[Turn]") -> float | None:
    bound = turn()
    return bound() if bound is not None else None
