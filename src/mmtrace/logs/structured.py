"""For structlog: two processors, which are plain functions, so that structlog itself is not needed here."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final, TypeVar

from mmtrace import attributes as names
from mmtrace.logs.correlation import KEYS, correlation
from mmtrace.logs.otlp import emit
from mmtrace.logs.record import EVENT, attributes_of, plain
from mmtrace.recording.cleaning import clean_value
from mmtrace.recording.guard import never_raises

E = TypeVar("E", bound=MutableMapping[str, Any])

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "err": logging.ERROR,
    "error": logging.ERROR,
    "exception": logging.ERROR,
    "fatal": logging.CRITICAL,
    "critical": logging.CRITICAL,
}
"""By the names of structlog's methods."""
_OWN: Final = frozenset({*KEYS, EVENT, "exc_info", names.LOG_LEVEL, names.LOG_LOGGER, names.LOG_TIMESTAMP})


def processor(logger: Any, method: str, event: E) -> E:
    """Add trace_id, span_id, service and model to a structlog event, where they are known and not there yet."""
    _add(event)
    return event


def otlp_processor(logger: Any, method: str, event: E) -> E:
    """Send a structlog event by OTLP and pass it on as it is.

    It stands before the renderer, and is for loggers that do not end in the standard library, whose records
    `OtlpHandler` sends. Where it stands is where the context is taken: in the thread of the caller.
    """
    _send(method, event)
    return event


@never_raises
def _add(event: MutableMapping[str, Any]) -> None:
    for key, value in correlation().items():
        event.setdefault(key, value)


@never_raises
def _send(method: str, event: MutableMapping[str, Any]) -> None:
    level = _LEVELS.get(method, logging.INFO)
    fields = {key: plain(clean_value(value)) for key, value in event.items() if key not in _OWN and key[:1] != "_"}
    emit(
        str(event.get(names.LOG_LOGGER) or names.SCOPE),
        str(plain(clean_value(event.get(EVENT, "")))),
        {**fields, **attributes_of(_error(event.get("exc_info")))},
        event,
        level=level,
        level_name=logging.getLevelName(level),
    )


def _error(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1] if len(exc_info) > 1 else None
    elif exc_info and not isinstance(exc_info, BaseException):
        exc_info = sys.exc_info()[1]
    return exc_info if isinstance(exc_info, BaseException) else None
