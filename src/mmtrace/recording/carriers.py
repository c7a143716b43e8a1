"""Context into and out of whatever travels: mappings, lists of pairs, envelopes of bytes."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from opentelemetry.context.context import Context

from mmtrace.recording.envelope import Envelope, arrival_in, fields_to_send
from mmtrace.recording.fields import fields_of, text
from mmtrace.recording.guard import report
from mmtrace.recording.propagation import context_from, propagator

__all__ = ["Carrier", "Envelope", "arrival_of", "extract", "inject"]

Carrier: TypeAlias = Mapping[Any, Any] | Sequence[tuple[Any, Any]] | bytes
"""A mapping, a sequence of (key, value) pairs, or the bytes of an envelope; keys and values are text or bytes."""

_C = TypeVar("_C")


def inject(
    carrier: _C,
    context: Context | None = None,
    *,
    arrival_ns: int | None = None,
    kinds: tuple[type, type] | None = None,
) -> _C:
    """Write `context` (default: the current one) into `carrier` and return it.

    A mapping and a list of pairs are changed in place: what they carried of another context is replaced. A tuple of
    pairs and bytes (wrapped into an envelope) are returned anew.

    Args:
        carrier: anything with item assignment, a list or tuple of (key, value) pairs, or bytes.
        context: what to write.
        arrival_ns: when the request arrived, in Unix nanoseconds; written where it is given.
        kinds: str or bytes for the keys and for the values of pairs, as in (str, bytes) for Kafka; without it, as the
            first pair has it, else text.

    A carrier that does not take it stays as it is, and that is reported.
    """
    try:
        if isinstance(carrier, (bytes, bytearray, memoryview)):
            return Envelope.wrap(bytes(carrier), context, arrival_ns)  # type: ignore[return-value]
        written: _C = _written(carrier, fields_to_send(context, arrival_ns), kinds)
        return written
    except Exception as error:
        report("inject", f"mmtrace: a {type(carrier).__name__} did not take the context: {error!r}", error)
        return carrier


def extract(carrier: Any) -> Context:
    """Return the context that `carrier` carries, the root context where it carries none. Never raises."""
    if isinstance(carrier, (bytes, bytearray, memoryview)):
        return Envelope.unwrap(bytes(carrier)).context or Context()
    return context_from(fields_of(carrier))


def arrival_of(carrier: Any) -> int | None:
    """Return when the request in `carrier` arrived, in Unix nanoseconds, where `inject` was told so."""
    if isinstance(carrier, (bytes, bytearray, memoryview)):
        return Envelope.unwrap(bytes(carrier)).arrival_ns
    return arrival_in(fields_of(carrier))


def _written(carrier: Any, fields: dict[str, str], kinds: tuple[type, type] | None) -> Any:
    if not fields:
        return carrier
    stale = {*fields, *propagator().fields}
    if not isinstance(carrier, (list, tuple)):
        for key in [key for key in carrier if _is_one_of(key, stale)]:
            del carrier[key]
        for key, value in fields.items():
            carrier[key] = value
        return carrier
    key_kind, value_kind = kinds or _kinds_of(carrier)
    kept = [pair for pair in carrier if not _is_one_of(pair[0], stale)]
    kept += [(_as(key_kind, key), _as(value_kind, value)) for key, value in fields.items()]
    if isinstance(carrier, tuple):
        return tuple(kept)
    carrier[:] = kept
    return carrier


def _is_one_of(key: object, keys: set[str]) -> bool:
    return isinstance(key, (str, bytes)) and text(key).lower() in keys


def _kinds_of(pairs: Sequence[Any]) -> tuple[type, type]:
    return (type(pairs[0][0]), type(pairs[0][1])) if pairs else (str, str)


def _as(kind: type, value: str) -> str | bytes:
    return value.encode("latin-1", "replace") if kind is bytes else value
