"""For the standard library: a filter, a formatter and two handlers."""

import json
import logging
import sys
import threading
import weakref
from datetime import datetime, timezone
from typing import IO, TYPE_CHECKING, Any, Final

from mmtrace import attributes as names
from mmtrace.calls import telemetry
from mmtrace.logs.correlation import KEYS, correlation, given
from mmtrace.logs.otlp import emit
from mmtrace.logs.record import read, redacted
from mmtrace.recording.guard import never_raises, report

if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[IO[str]]
else:
    _StreamHandler = logging.StreamHandler  # has no parameters before 3.11

_EXCEPTION: Final = {
    names.EXCEPTION_TYPE: "type",
    names.EXCEPTION_MESSAGE: "message",
    names.EXCEPTION_STACKTRACE: "stacktrace",
}


class _Last(threading.local):
    """The record that this thread handled last, and where it went."""

    record: "weakref.ref[logging.LogRecord] | None" = None
    where: object = None

    def is_new(self, record: logging.LogRecord, where: object) -> bool:
        """Whether `record` goes to `where` for the first time: two handlers on its way through the loggers are one."""
        if self.record is not None and self.record() is record and self.where is where:
            return False
        self.record, self.where = weakref.ref(record), where
        return True


_written, _sent = _Last(), _Last()


class ContextFilter(logging.Filter):
    """Lets every record pass, with trace_id, span_id, service and model as attributes, empty where there is none.

    For formats of one's own (`%(trace_id)s %(message)s`), and for a QueueHandler, whose records are written by another
    thread. What a record has already is left as it is.
    """

    @never_raises
    def _add(self, record: logging.LogRecord) -> None:
        facts = {**dict.fromkeys(KEYS, ""), **correlation(), **given(vars(record))}
        for key, value in facts.items():
            if key not in vars(record):
                setattr(record, key, value)

    def filter(self, record: logging.LogRecord) -> bool:
        """Add what is known to `record`; always True."""
        self._add(record)
        return True


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON.

    `timestamp` (RFC 3339, UTC), `level`, `service`, `logger`, `message`, `trace_id`, `span_id`, `model`, `fields` (the
    extras) and `exception` (`type`, `message`, `stacktrace`); what a record does not have is left out. `redact` of
    `configure()` sees the message, fields, model and exception first, under the names that they have by OTLP.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return `record` as one line, without its end."""
        said = redacted(read(record), telemetry.current.redact)
        exception = {_EXCEPTION[key]: value for key, value in said.exception.items()}
        line: dict[str, Any] = {
            names.LOG_TIMESTAMP: _rfc3339(record.created),
            names.LOG_LEVEL: record.levelname,
            names.LOG_SERVICE: said.correlation.get(names.LOG_SERVICE),
            names.LOG_LOGGER: record.name,
            names.LOG_MESSAGE: said.message,
            names.LOG_TRACE_ID: said.correlation.get(names.LOG_TRACE_ID),
            names.LOG_SPAN_ID: said.correlation.get(names.LOG_SPAN_ID),
            names.LOG_MODEL: said.correlation.get(names.LOG_MODEL),
            names.LOG_FIELDS: said.fields or None,
            names.LOG_EXCEPTION: exception or None,
        }
        return json.dumps({key: value for key, value in line.items() if value is not None}, default=str)


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


class JsonHandler(_StreamHandler):
    """Writes JSON lines to `stream`, or to whatever is standard output when a record comes.

    A record that comes twice, by two such handlers of one stream, is written once.
    """

    def __init__(self, stream: IO[str] | None = None) -> None:
        logging.Handler.__init__(self)
        self._stream = stream
        self.setFormatter(JsonFormatter())

    @property
    def stream(self) -> IO[str]:  # type: ignore[override]  # as logging's own handler of last resort does
        """Where lines go."""
        return self._stream or sys.stdout

    def emit(self, record: logging.LogRecord) -> None:
        """Write `record`."""
        if _written.is_new(record, self.stream):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Count a record that cannot be written, to a closed pipe for example."""
        error = sys.exc_info()[1]
        cause = error if isinstance(error, Exception) else None
        report("logs.write", f"mmtrace: a log record could not be written: {error!r}", cause)


class OtlpHandler(logging.Handler):
    """Sends records by OTLP, to where the setting `logs_exporter` says, or to the application's own LoggerProvider.

    A record that comes twice, by two such handlers, is sent once.
    """

    def handle(self, record: logging.LogRecord) -> bool:
        """Hand over what passes the filters, without the lock that handlers hold by default: nothing here is shared."""
        passed: Any = self.filter(record)  # a filter may return another record, from Python 3.12 on
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return bool(passed)

    @never_raises
    def emit(self, record: logging.LogRecord) -> None:
        """Hand `record` over; it is encoded in this thread and sent by another."""
        if not _sent.is_new(record, None):
            return
        said = read(record)
        code = {
            names.CODE_FILE_PATH: record.pathname,
            names.CODE_FUNCTION_NAME: record.funcName,
            names.CODE_LINE_NUMBER: record.lineno,
        }
        emit(
            record.name,
            said.message,
            {**code, **said.fields, **said.exception},
            said.correlation,
            level=record.levelno,
            level_name=record.levelname,
            time=int(record.created * 1e9),
        )
