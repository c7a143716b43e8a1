"""Telemetry as lines that a person reads, for a look without any receiver."""

import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from typing import Any, Final, TextIO

from mmtrace.errors import DecodeError
from mmtrace.export.requests import request_of
from mmtrace.otlp.decode import decode_traces, value_of
from mmtrace.spans import SpanData
from mmtrace.transport.signals import ACCEPTED, Outcome, Signal

_LONGEST_VALUE: Final = 80


class Console:
    """Prints to `stream`, standard output by default."""

    quiet_before_fork = False
    where = "the console"

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def export(self, signal: Signal, body: bytes, count: int, timeout: float) -> Outcome:
        """Print a line for each span, metric point or record."""
        stream = self._stream or sys.stdout
        try:
            stream.write("".join(f"{line}\n" for line in _LINES[signal](body)))
            stream.flush()
        except DecodeError as error:
            return Outcome("rejected", message=f"the console cannot show it: {error}")
        except (OSError, ValueError) as error:
            return Outcome("unsupported", message=f"the console cannot be written: {error}")
        return ACCEPTED

    def close(self) -> None:
        """Leave the stream open: it belongs to the process."""

    def after_fork(self) -> None:
        """Share the stream with the parent."""


def _span_lines(body: bytes) -> Iterator[str]:
    return map(_span_line, decode_traces(body))


def _span_line(span: SpanData) -> str:
    status = f" ERROR {span.status_message}".rstrip() if span.is_error else ""
    ids = f"trace={span.trace_id:032x} span={span.span_id:016x}"
    parent = f" parent={span.parent_span_id:016x}" if span.parent_span_id else ""
    head = f"{_clock(span.start_time)} {span.duration * 1000:10.3f} ms  {span.service}  {span.name}{status}"
    return " ".join([head, f" {ids}{parent}", *_pairs(span.attributes.items())])


def _metric_lines(body: bytes) -> Iterator[str]:
    request: Any = request_of(Signal.METRICS, body)
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                data = getattr(metric, metric.WhichOneof("data") or "gauge")
                yield from (_point_line(metric, point) for point in data.data_points)


def _point_line(metric: Any, point: Any) -> str:
    attributes = _pairs((pair.key, value_of(pair.value)) for pair in point.attributes)
    return " ".join([_clock(point.time_unix_nano), metric.name, _point_value(point), metric.unit, *attributes]).rstrip()


def _point_value(point: Any) -> str:
    if hasattr(point, "count"):
        return f"count={point.count} sum={point.sum:g}"
    return f"{getattr(point, point.WhichOneof('value') or 'as_int'):g}"


def _log_lines(body: bytes) -> Iterator[str]:
    request: Any = request_of(Signal.LOGS, body)
    for resource in request.resource_logs:
        for scope in resource.scope_logs:
            yield from map(_log_line, scope.log_records)


def _log_line(record: Any) -> str:
    trace = [f" trace={record.trace_id.hex()} span={record.span_id.hex()}"] if record.trace_id else []
    attributes = _pairs((pair.key, value_of(pair.value)) for pair in record.attributes)
    time = record.time_unix_nano or record.observed_time_unix_nano
    return " ".join([_clock(time), record.severity_text, _short(value_of(record.body)), *trace, *attributes])


def _clock(nanoseconds: int) -> str:
    moment = datetime.fromtimestamp(nanoseconds // 1000 / 1e6, tz=timezone.utc).astimezone()
    return moment.strftime("%H:%M:%S.%f")


def _pairs(attributes: Iterable[tuple[str, Any]]) -> list[str]:
    return [f"{key}={_short(value)}" for key, value in attributes]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return line if len(line) <= _LONGEST_VALUE else f"{line[: _LONGEST_VALUE - 1]}…"


_LINES: Final[dict[Signal, Callable[[bytes], Iterator[str]]]] = {
    Signal.TRACES: _span_lines,
    Signal.METRICS: _metric_lines,
    Signal.LOGS: _log_lines,
}
