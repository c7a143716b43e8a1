"""Every record that a logger accepts, however the program has set up its logging.

A handler on the root logger would turn `logging.basicConfig()` into nothing, be removed by `dictConfig()` and miss
loggers that do not propagate, as uvicorn's. So records are taken where a logger gives them to its handlers.
"""

import functools
import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, TypeAlias

from mmtrace.recording.guard import never_raises

Undo: TypeAlias = Callable[[], None]


class _Capture:
    """Where records go in this process, and what takes it back."""

    handlers: Sequence[logging.Handler] = ()
    undo = ExitStack()


def capture(
    handlers: Sequence[logging.Handler], *, level: int | None = None, alone: bool = False
) -> Callable[[], None]:
    """Give records to `handlers` after those of the program, instead of to earlier ones; return what ends it.

    `level`: set on the root logger meanwhile. `alone`: the last resort of logging, which writes warnings to standard
    error where a program has no handler at all, is silent meanwhile.
    """
    _stop()
    _Capture.handlers = handlers
    _tap(_Capture.undo)
    if level is not None:
        _set_level(_Capture.undo, level)
    if alone:
        _silence_last_resort(_Capture.undo)
    return lambda: _stop() if _Capture.handlers is handlers else None


def _stop() -> None:
    _Capture.handlers = ()
    _Capture.undo.close()


def _tap(undo: ExitStack) -> None:
    original = logging.Logger.callHandlers

    @functools.wraps(original)
    def call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
        try:
            original(logger, record)
        finally:
            _give(_Capture.handlers if on else (), record)

    on = [True]
    _replace(undo, logging.Logger, "callHandlers", call_handlers)
    undo.callback(on.clear)  # for who has wrapped it meanwhile


@never_raises
def _give(handlers: Sequence[logging.Handler], record: logging.LogRecord) -> None:
    for handler in handlers:
        handler.handle(record)


def _set_level(undo: ExitStack, level: int) -> None:
    root = logging.getLogger()
    before = root.level
    root.setLevel(level)
    undo.callback(lambda: root.setLevel(before) if root.level == level else None)


def _silence_last_resort(undo: ExitStack) -> None:
    _replace(undo, logging, "lastResort", logging.NullHandler())


def _replace(undo: ExitStack, owner: Any, name: str, new: object) -> None:
    before = getattr(owner, name)
    setattr(owner, name, new)
    undo.callback(lambda: setattr(owner, name, before) if getattr(owner, name) is new else None)
