"""The fields of a carrier of any make, as the propagators read and write them."""

import logging
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from opentelemetry.propagators.textmap import Getter

from mmtrace.recording.guard import report

Fields: TypeAlias = dict[str, list[Any]]
"""Every value of each key, in lower case; a value is text or bytes."""


def values_of(carrier: Any, key: str, getter: Any) -> list[str]:
    """Return every value that `getter` finds for `key`, as text. Never raises."""
    try:
        found = getter.get(carrier, key)
        if not found:
            return []
        return [text(value) for value in ([found] if isinstance(found, (str, bytes)) else found)]
    except Exception as error:
        report("getter", f"mmtrace: {type(getter).__qualname__}.get failed on {key!r}: {error!r}", error)
        return []


def text(value: object) -> str:
    """Return a header's key or value as text; bytes are read as Latin-1, as HTTP does."""
    if isinstance(value, str):
        return value
    return bytes(value).decode("latin-1") if isinstance(value, (bytes, bytearray, memoryview)) else str(value)


def fields_of(carrier: Any) -> Fields:
    """Return what a mapping or a sequence of pairs holds; what is neither text nor bytes is passed over."""
    fields: Fields = {}
    try:
        for pair in _pairs(carrier):
            key, value = pair
            if isinstance(key, (str, bytes)):
                fields.setdefault(text(key).lower(), []).extend(value if isinstance(value, list) else [value])
    except Exception as error:
        report("carrier", f"mmtrace: a carrier could not be read: {error!r}", level=logging.DEBUG)
    return fields


def _pairs(carrier: Any) -> Iterable[Any]:
    if carrier is None or isinstance(carrier, str):
        return ()
    pairs: Iterable[Any] = carrier.items() if hasattr(carrier, "items") else carrier
    return pairs


class FieldsGetter(Getter[Fields]):
    """Reads fields for propagators of any make."""

    def get(self, carrier: Fields, key: str) -> list[str] | None:
        """Return every value of `key` as text, None where there is none."""
        values = carrier.get(key.lower())
        return values and [text(value) for value in values if isinstance(value, (str, bytes))]

    def keys(self, carrier: Fields) -> list[str]:
        """Return all keys."""
        return list(carrier)


GETTER: Final = FieldsGetter()
