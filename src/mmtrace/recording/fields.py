"""The values of one header in a carrier of any make."""

from typing import Any

from mmtrace.recording.guard import report


def values_of(carrier: Any, key: str, getter: Any) -> list[str]:
    """Return every value that `getter` finds for `key`, as text. Never raises."""
    try:
        found = getter.get(carrier, key)
    except Exception as error:
        report("getter", f"mmtrace: {type(getter).__qualname__}.get failed on {key!r}: {error!r}", error)
        return []
    if not found:
        return []
    return [text(value) for value in ([found] if isinstance(found, (str, bytes)) else found)]


def text(value: object) -> str:
    """Return a header's value as text; bytes are read as Latin-1, as HTTP does."""
    if isinstance(value, str):
        return value
    return bytes(value).decode("latin-1") if isinstance(value, (bytes, bytearray, memoryview)) else str(value)
