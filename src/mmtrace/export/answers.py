"""What OTLP receivers answer, read from wire bytes: partial success, status and the delay that they ask for.

Only three small messages are of interest, so protobuf is not needed here. Sources:
opentelemetry/proto/collector/trace/v1/trace_service.proto (alike for metrics and logs), google/rpc/status.proto,
google/rpc/error_details.proto and https://opentelemetry.io/docs/specs/otlp/.
"""

import email.utils
import re
import time
from collections.abc import Iterator
from datetime import timezone
from typing import TypeAlias

from mmtrace.otlp.wire import read_varint

Value: TypeAlias = int | bytes

_RETRY_INFO = b"google.rpc.RetryInfo"


def fields(message: bytes) -> Iterator[tuple[int, Value]]:
    """Yield number and value of each field; ends quietly where the message is damaged."""
    position = 0
    try:
        while position < len(message):
            tag, position = read_varint(message, position)
            value, position = _value(message, position, tag & 7)
            yield tag >> 3, value
    except (IndexError, ValueError):
        return


def _value(message: bytes, position: int, wire_type: int) -> tuple[Value, int]:
    if wire_type == 0:
        return read_varint(message, position)
    if wire_type == 2:
        length, position = read_varint(message, position)
    else:
        length = {1: 8, 5: 4}.get(wire_type, -1)
    end = position + length
    if length < 0 or end > len(message):
        raise ValueError(wire_type)
    return message[position:end], end


def _last(message: bytes, number: int, default: Value) -> Value:
    found = [value for at, value in fields(message) if at == number and type(value) is type(default)]
    return found[-1] if found else default


def _bytes(message: bytes, number: int) -> bytes:
    value = _last(message, number, b"")
    return value if isinstance(value, bytes) else b""


def _int(message: bytes, number: int) -> int:
    value = _last(message, number, 0)
    return value if isinstance(value, int) else 0


def partial_success(response: bytes) -> tuple[int, str]:
    """Return how many items the receiver rejected and why, from an ExportTraceServiceResponse or its like."""
    partial = _bytes(response, 1)
    return _int(partial, 1), _bytes(partial, 2).decode(errors="replace")


def status_message(status: bytes) -> str:
    """Return the message of a google.rpc.Status."""
    return _bytes(status, 2).decode(errors="replace")


def retry_delay(status: bytes) -> float | None:
    """Return the seconds after which a google.rpc.Status invites to try again; None where it does not."""
    for number, detail in fields(status):
        if number == 3 and isinstance(detail, bytes) and _bytes(detail, 1).endswith(_RETRY_INFO):
            delay = _bytes(_bytes(detail, 2), 1)
            return _int(delay, 1) + _int(delay, 2) / 1e9
    return None


def retry_after(header: str | None, date: str | None = None) -> float | None:
    """Return the seconds that a Retry-After header asks for, in seconds or as a date; None where it is neither.

    `date`: the Date header beside it, by which a date is measured: the clocks of two machines may differ.
    """
    if not header:
        return None
    if re.fullmatch("[0-9]+", header.strip()):
        return float(header)
    moment, sent = _moment(header), _moment(date or "")
    return None if moment is None else max(0.0, moment - (time.time() if sent is None else sent))


def _moment(date: str) -> float | None:
    try:
        moment = email.utils.parsedate_to_datetime(date)
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
