"""Records on their way to the global LoggerProvider, which is ours where the application has set none."""

import threading
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry._logs import LogRecord, SeverityNumber, get_logger

from mmtrace import attributes as names
from mmtrace.calls.context import suppressed
from mmtrace.logs.correlation import context_of
from mmtrace.recording.guard import report

_SEVERITIES: Final = (
    (50, SeverityNumber.FATAL),
    (40, SeverityNumber.ERROR),
    (30, SeverityNumber.WARN),
    (20, SeverityNumber.INFO),
    (10, SeverityNumber.DEBUG),
    (1, SeverityNumber.TRACE),
)
"""From which level of `logging` on. Source: OpenTelemetry's data model of logs, appendix B."""


class _Here(threading.local):
    emits = False


_here: Final = _Here()


def emit(
    logger: str,
    message: str,
    attributes: Mapping[str, Any],
    correlation: Mapping[str, str],
    *,
    level: int,
    level_name: str,
    time: int | None = None,
) -> None:
    """Hand one record over; `time` in nanoseconds since the epoch, now by default.

    Records of our own requests are left out, and those that are logged while another is handed over: they would
    never end.
    """
    if suppressed():
        return
    if _here.emits:
        report("logs.recursion", "mmtrace: a record was left out: it was logged while another one was handed over")
        return
    _here.emits = True
    try:
        model = {names.MODEL_NAME: correlation[names.LOG_MODEL]} if names.LOG_MODEL in correlation else {}
        get_logger(logger).emit(
            LogRecord(
                timestamp=time,
                context=context_of(correlation),
                severity_text=level_name,
                severity_number=_severity(level),
                body=message,
                attributes={**model, **{key: value for key, value in attributes.items() if value is not None}},
            )
        )
    finally:
        _here.emits = False


def _severity(level: int) -> SeverityNumber:
    return next((severity for lowest, severity in _SEVERITIES if level >= lowest), SeverityNumber.UNSPECIFIED)
