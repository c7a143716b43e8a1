"""The two forms of a message: protobuf, and OTLP's JSON, in which ids are hexadecimal.

Source: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding.
"""

import base64
import json
from typing import Any, Final, Protocol, TypeVar

from google.protobuf import json_format
from google.protobuf.message import DecodeError as ProtobufError
from google.protobuf.message import Message

from mmtrace.errors import DecodeError
from mmtrace.server.refusals import JSON, PROTOBUF

M = TypeVar("M", bound=Message)

_IDS: Final = frozenset({"traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"})


class Form(Protocol):
    """How messages are written down."""

    def read(self, body: bytes, kind: type[M]) -> M:
        """Return the message that `body` holds. Raises DecodeError."""
        ...

    def write(self, message: Message) -> bytes:
        """Return `message` written down."""
        ...


class Protobuf:
    """Protobuf's own bytes."""

    def read(self, body: bytes, kind: type[M]) -> M:
        """Return the message that `body` holds. Raises DecodeError."""
        try:
            return kind.FromString(body)
        except ProtobufError as error:
            raise DecodeError(f"the body is no {kind.DESCRIPTOR.name}: {error}") from error

    def write(self, message: Message) -> bytes:
        """Return the bytes of `message`."""
        return message.SerializeToString()


class OtlpJson:
    """OTLP's JSON; unknown names are left out, names may be in camel or snake case."""

    def read(self, body: bytes, kind: type[M]) -> M:
        """Return the message that `body` holds. Raises DecodeError."""
        message = kind()
        try:
            tree = _protobuf_json(json.loads(body))
            if not isinstance(tree, dict):
                raise DecodeError("the body is no JSON object")
            return json_format.ParseDict(tree, message, ignore_unknown_fields=True)
        except RecursionError as error:
            raise DecodeError("the body is nested too deep") from error
        except (json_format.ParseError, ValueError, TypeError, AttributeError) as error:
            raise DecodeError(f"the body is no {kind.DESCRIPTOR.name} in JSON: {error}") from error

    def write(self, message: Message) -> bytes:
        """Return `message` as JSON; an empty one is `{}`."""
        return json.dumps(json_format.MessageToDict(message)).encode()


FORMS: Final[dict[str, Form]] = {PROTOBUF: Protobuf(), JSON: OtlpJson()}
"""The form of each content type."""


def _protobuf_json(value: Any, name: str = "") -> Any:
    """Return OTLP's JSON as protobuf's: ids in base64, and no half pairs of surrogates."""
    if isinstance(value, dict):
        return {name: _protobuf_json(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_protobuf_json(item) for item in value]
    if isinstance(value, str):
        return _id(name, value) if name in _IDS else value.encode(errors="replace").decode()
    return value


def _id(name: str, value: str) -> str:
    try:
        return base64.b64encode(bytes.fromhex(value)).decode()
    except ValueError as error:
        raise DecodeError(f"the body has a {name} that is not hexadecimal: {value[:40]!r}") from error
