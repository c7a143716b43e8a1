"""OTLP-JSON in a file, one request a line, as the Collector's file receiver and `mmtrace serve` read it.

Source: https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/.
"""

import base64
import json
import os
from typing import Any, Final

from google.protobuf.json_format import MessageToDict

from mmtrace.errors import DecodeError
from mmtrace.export.requests import request_of
from mmtrace.transport.signals import ACCEPTED, Outcome, Signal

_IDS: Final = frozenset({"traceId", "spanId", "parentSpanId"})
_PRIVATE: Final = 0o600


class OtlpFile:
    """Appends to the file at `path`, which only its owner may read; processes may share it."""

    quiet_before_fork = False

    def __init__(self, path: str) -> None:
        self.where = path
        self._file: int | None = None

    def export(self, signal: Signal, body: bytes, count: int, timeout: float) -> Outcome:
        """Write `body` as one line of JSON."""
        try:
            self._write(json_line(signal, body))
        except DecodeError as error:
            return Outcome("rejected", message=f"{self.where} cannot hold it: {error}")
        except OSError as error:
            return Outcome("retry", message=f"{self.where} cannot be written: {error.strerror}")
        return ACCEPTED

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def after_fork(self) -> None:
        """Share the file with the parent: it is written in whole lines at its end."""

    def _write(self, line: bytes) -> None:
        if self._file is None:
            self._file = os.open(self.where, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _PRIVATE)
        while line:
            line = line[os.write(self._file, line) :]


def json_line(signal: Signal, body: bytes) -> bytes:
    """Return a request as OTLP-JSON: protobuf's own JSON with numbers for enums and hexadecimal ids."""
    tree = MessageToDict(request_of(signal, body), use_integers_for_enums=True)
    _ids_to_hex(tree)
    return json.dumps(tree, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _ids_to_hex(tree: Any) -> None:
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        if key in _IDS:
            tree[key] = base64.b64decode(value).hex()
        elif isinstance(value, (dict, list)):
            _ids_to_hex(value)
