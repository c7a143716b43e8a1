"""What a record of the standard library says, in values that JSON and OTLP can hold."""

import logging
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mmtrace import attributes as names
from mmtrace.logs.correlation import KEYS, correlation, given
from mmtrace.recording.cleaning import clean_value
from mmtrace.recording.exceptions import exception_attributes
from mmtrace.recording.guard import report
from mmtrace.recording.recorder import Redact
from mmtrace.recording.redaction import redact_attributes, redact_value

EVENT: Final = "event"
"""The message of a structlog event."""

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_EXCEPTION: Final = (names.EXCEPTION_TYPE, names.EXCEPTION_MESSAGE, names.EXCEPTION_STACKTRACE)
_INT64: Final = 1 << 63


@dataclass(frozen=True, slots=True)
class Said:
    """One record: `fields` are the extras, `correlation` what joins it to its trace, `exception` attributes of one."""

    message: str
    fields: dict[str, Any]
    correlation: dict[str, str]
    exception: dict[str, str]


def read(record: logging.LogRecord) -> Said:
    """Return what `record` says; never raises, whatever its arguments and extras are."""
    extras = {key: value for key, value in vars(record).items() if key not in _STANDARD and key[:1] != "_"}
    message: object = record.msg
    if isinstance(message, Mapping) and not record.args:  # structlog's way through the standard library
        extras |= {key: value for key, value in message.items() if isinstance(key, str) and key[:1] != "_"}
        message = extras.pop(EVENT, "")
    else:
        message = _filled(record)
    fields = {key: plain(clean_value(value)) for key, value in extras.items() if key not in KEYS}
    if record.stack_info:
        fields["stack_info"] = record.stack_info
    return Said(str(plain(clean_value(message))), fields, {**correlation(), **given(extras)}, _exception(record))


class _Here(threading.local):
    redacts = False


_here: Final = _Here()


def redacted(said: Said, redact: Redact | None) -> Said:
    """Return what the user's `redact` leaves of a record; nothing of one that `redact` itself logs."""
    if redact is None:
        return said
    if _here.redacts:
        report("logs.redact", "mmtrace: what redact logs is left out: redact would have to see it")
        return Said("", {}, {}, {})
    _here.redacts = True
    try:
        return _redacted(said, redact)
    finally:
        _here.redacts = False


def _redacted(said: Said, redact: Redact) -> Said:
    message = redact_value(redact, names.LOG_MESSAGE, said.message)
    correlation = dict(said.correlation)
    if names.LOG_MODEL in correlation:
        model = redact_value(redact, names.MODEL_NAME, correlation.pop(names.LOG_MODEL))
        correlation |= {} if model is None else {names.LOG_MODEL: str(plain(model))}
    return Said(
        "" if message is None else str(plain(message)),
        {key: plain(value) for key, value in redact_attributes(redact, said.fields).items()},
        correlation,
        {key: str(plain(value)) for key, value in redact_attributes(redact, said.exception).items()},
    )


def _filled(record: logging.LogRecord) -> object:
    try:
        return record.getMessage()
    except Exception:
        return record.msg  # arguments that do not fit: whoever else handles the record says so


def _exception(record: logging.LogRecord) -> dict[str, str]:
    error = record.exc_info[1] if record.exc_info else None
    cached = {names.EXCEPTION_STACKTRACE: record.exc_text} if record.exc_text else {}
    return cached if error is None else attributes_of(error)


def attributes_of(error: BaseException | None) -> dict[str, str]:
    """Return type, message and stacktrace of an exception."""
    found = {} if error is None else exception_attributes(error, escaped=False)
    return {key: str(plain(found[key])) for key in _EXCEPTION if key in found}


def plain(value: Any) -> Any:
    """Return a clean value with what JSON or UTF-8 cannot hold as text: bytes, NaN, large numbers, half characters."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode(errors="replace").decode()
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, int):
        return value if -_INT64 <= value < _INT64 else str(value)
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple) else value
