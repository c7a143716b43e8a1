"""Context around a payload of bytes, for media that have no headers.

    0..3   magic C1 4D 4D 54: C1 begins no UTF-8 text, no msgpack and no pickle
    4      version, 1
    5      flags, 0
    6..7   length of the header, big-endian
    8..    the header, one `key:value` a line, then the payload

Later versions keep these eight bytes, so that a reader finds the payload of a version that it does not know.
"""

import logging
import re
import struct
from typing import Final, NamedTuple

from opentelemetry.context.context import Context

from mmtrace import attributes as names
from mmtrace.recording.fields import Fields, text
from mmtrace.recording.guard import report
from mmtrace.recording.propagation import context_from, propagator

_MAGIC: Final = b"\xc1MMT"
_VERSION: Final = 1
_PREFIX: Final = struct.Struct(">4sBBH")
_MAX_HEADER: Final = (1 << 16) - 1
_MAX_ARRIVAL: Final = 1 << 63
_DECIMAL: Final = re.compile(r"[0-9]{1,19}")


class Envelope(NamedTuple):
    """What came in an envelope: the payload as it was put in, its context and its time of arrival, in Unix ns."""

    payload: bytes
    context: Context | None = None
    arrival_ns: int | None = None

    @staticmethod
    def wrap(payload: bytes, context: Context | None = None, arrival_ns: int | None = None) -> bytes:
        """Return `payload` in an envelope with `context` (default: the current one)."""
        header = "\n".join(f"{key}:{value}" for key, value in fields_to_send(context, arrival_ns).items())
        encoded = header.encode("latin-1", "replace")
        if len(encoded) > _MAX_HEADER:
            report("envelope", "mmtrace: the context was too large for an envelope and was left out")
            encoded = b""
        return b"".join((_PREFIX.pack(_MAGIC, _VERSION, 0, len(encoded)), encoded, payload))

    @classmethod
    def unwrap(cls, data: bytes) -> "Envelope":
        """Return what `data` holds; what is no envelope is a plain payload, whatever it is. Never raises."""
        if not is_envelope(data):
            return cls(data)
        _, version, _, length = _PREFIX.unpack_from(data)
        begin, end = _PREFIX.size, _PREFIX.size + length
        if end > len(data):
            report("envelope", "mmtrace: an envelope was cut short; it is taken for a payload", level=logging.DEBUG)
            return cls(data)
        fields = _fields(bytes(data[begin:end])) if version == _VERSION else {}
        return cls(bytes(data[end:]), context_from(fields), arrival_in(fields))


def is_envelope(data: object) -> bool:
    """Return whether `data` begins as an envelope does."""
    return isinstance(data, (bytes, bytearray, memoryview)) and len(data) >= _PREFIX.size and data[:4] == _MAGIC


def fields_to_send(context: Context | None, arrival_ns: int | None) -> dict[str, str]:
    """Return what the global propagator writes for `context`, and the time of arrival where there is one."""
    fields: dict[str, str] = {}
    propagator().inject(fields, context)
    if arrival_ns is not None:
        fields[names.ARRIVAL_FIELD] = str(arrival_ns)
    return fields


def arrival_in(fields: Fields) -> int | None:
    """Return the time of arrival that `fields` tell, in Unix nanoseconds; None where there is no such time."""
    values = fields.get(names.ARRIVAL_FIELD, ())
    if len(values) != 1 or not _DECIMAL.fullmatch(said := text(values[0])):
        return None
    return arrival if 0 < (arrival := int(said)) < _MAX_ARRIVAL else None


def _fields(header: bytes) -> Fields:
    fields: Fields = {}
    for line in header.decode("latin-1").split("\n"):
        key, _, value = line.partition(":")
        fields.setdefault(key.lower(), []).append(value)
    return fields
