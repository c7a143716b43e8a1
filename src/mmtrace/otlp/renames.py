"""Attributes of earlier conventions, under the names that replaced them."""

from typing import Final

from opentelemetry.trace import SpanKind

from mmtrace import attributes as names
from mmtrace.spans import AttributeValue

_OLD: Final = names.RENAMED.keys()

_GRPC_STATUS: Final = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip


def renamed(attributes: dict[str, AttributeValue], kind: SpanKind) -> dict[str, AttributeValue]:
    """Return `attributes` under their newest names; what is there under a new name already is never replaced."""
    if _OLD.isdisjoint(attributes):
        return attributes
    table = names.RENAMED_ON_SERVERS if kind is SpanKind.SERVER else names.RENAMED
    found: dict[str, AttributeValue] = {}
    for key, value in attributes.items():
        new = table.get(key, key)
        if new == key:
            found[key] = value
        elif new not in attributes:
            found.setdefault(new, _in_new_terms(new, value))
    return found


def _in_new_terms(name: str, value: AttributeValue) -> AttributeValue:
    """A status of gRPC was a number and is a name; a partition was a number and is text."""
    if name == names.RPC_RESPONSE_STATUS_CODE and isinstance(value, int) and 0 <= value < len(_GRPC_STATUS):
        return _GRPC_STATUS[value]
    return str(value) if name == names.MESSAGING_DESTINATION_PARTITION_ID else value
