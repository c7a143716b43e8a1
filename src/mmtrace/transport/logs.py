"""The log record processor that encodes a record where it is emitted and queues the bytes.

Loads the SDK's logs and protobuf, so only the composition root imports it, when logs have a destination.
"""

import copy
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Final

from opentelemetry import context
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk import _logs
from opentelemetry.sdk._logs import LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk.resources import Resource

from mmtrace import attributes as names
from mmtrace.otlp.frames import Frame, frame_of
from mmtrace.otlp.wire import field
from mmtrace.recording.guard import never_raises, report
from mmtrace.recording.recorder import Redact
from mmtrace.recording.redaction import redact_attributes, redact_value
from mmtrace.transport.pipeline import Pipeline
from mmtrace.transport.signals import Signal

_EMPTY: Final = Resource({})


class LoggerProvider(_logs.LoggerProvider):
    """A stock LoggerProvider that detects no resource in a forked child: the sink knows it.

    The stock one starts threads for that, which some servers that fork in C never let run, and waits for them.
    """

    def _handle_fork(self) -> None:
        self._logger_cache_lock = Lock()
        self._active_loggers_lock = Lock()


class LogSink(LogRecordProcessor):
    """A stock LogRecordProcessor for any number of pipelines; what our own requests log is left out.

    A process has one LoggerProvider for good, so `feed` says where its records go from now on. `resource` tells which
    service and process this is, where that may change; else it is the provider's. `redact` sees every attribute, and
    the body under the key `message`.
    """

    def __init__(
        self,
        pipelines: Sequence[Pipeline] = (),
        resource: Callable[[], Resource] | None = None,
        redact: Redact | None = None,
    ) -> None:
        self.feed(pipelines, resource, redact)

    def feed(
        self,
        pipelines: Sequence[Pipeline],
        resource: Callable[[], Resource] | None = None,
        redact: Redact | None = None,
    ) -> None:
        """Add records to these pipelines from now on."""
        self._pipelines, self._resource, self._redact = tuple(pipelines), resource, redact

    def forsake(self, pipelines: Sequence[Pipeline]) -> None:
        """Add no record to these pipelines any more; does nothing where others took their place."""
        if self._pipelines == tuple(pipelines):
            self.feed(())

    @never_raises
    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Encode a record and add it to every pipeline."""
        if context.get_value(context._SUPPRESS_INSTRUMENTATION_KEY):
            return
        try:
            resource = self._resource() if self._resource else log_record.resource
            frame, payload = _encode(log_record, resource, self._redact)
        except Exception as error:
            report("mmtrace.transport.encode_log", f"mmtrace: a log record was dropped: {error!r}", error)
            for pipeline in self._pipelines:
                pipeline.lose(Signal.LOGS, "encode_error")
            return
        for pipeline in self._pipelines:
            pipeline.add(Signal.LOGS, frame, payload)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver what is queued; False where something still waits, in memory or on disk, or was dropped."""
        results = [pipeline.flush(timeout_millis / 1000) for pipeline in self._pipelines]
        return not any(result.waiting or result.spooled or result.dropped for result in results)

    def shutdown(self) -> None:
        """Do nothing: a pipeline outlives the providers that feed it, and whoever made it ends it."""


def _encode(record: ReadWriteLogRecord, resource: Resource | None, redact: Redact | None) -> tuple[Frame, bytes]:
    """Return a record as the field of ScopeLogs, and the frame: ResourceLogs is numbered like ResourceSpans."""
    readable = ReadableLogRecord(
        log_record=record.log_record if redact is None else _redacted(record.log_record, redact),
        resource=resource or _EMPTY,
        instrumentation_scope=record.instrumentation_scope,
        limits=record.limits,
    )
    message = encode_logs([readable]).resource_logs[0].scope_logs[0].log_records[0]
    return frame_of(readable), field(b"\x12", message.SerializeToString())


def _redacted(record: LogRecord, redact: Redact) -> LogRecord:
    """Return a copy: other processors of the application's have the record as it was."""
    redacted = copy.copy(record)
    redacted.attributes = redact_attributes(redact, record.attributes or {})
    redacted.body = redact_value(redact, names.LOG_MESSAGE, record.body)
    return redacted
