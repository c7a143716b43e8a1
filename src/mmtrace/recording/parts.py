"""The parts of a recorded span that are not values of its own: events, links, the scope, the status."""

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.trace import Link, SpanContext, Status, StatusCode

from mmtrace.recording.cleaning import clean
from mmtrace.spans import Scope

UNSET: Final = Status(StatusCode.UNSET)
OK: Final = Status(StatusCode.OK)


class RecordedEvent:
    """Something that happened while a span ran; `timestamp` in nanoseconds since the epoch."""

    __slots__ = ("attributes", "dropped_attributes", "name", "timestamp")

    def __init__(self, name: str, timestamp: int, attributes: Mapping[str, Any], dropped_attributes: int) -> None:
        self.name = name
        self.timestamp = timestamp
        self.attributes = attributes
        self.dropped_attributes = dropped_attributes

    def __repr__(self) -> str:
        return f"RecordedEvent({self.name!r}, {self.timestamp}, {dict(self.attributes)!r})"


class RecordedLink(Link):
    """A link of a recorded span, with attributes of its own."""

    def __init__(self, context: SpanContext, attributes: Mapping[str, Any], dropped_attributes: int) -> None:
        super().__init__(context, attributes)
        self._dropped_attributes = dropped_attributes

    @property
    def dropped_attributes(self) -> int:
        """How many attributes were over the limit or had a bad key."""
        return self._dropped_attributes


class InstrumentationScope(Scope):
    """The library that records, as a key of dicts."""

    __slots__ = ()

    def __hash__(self) -> int:
        return hash((self.name, self.version, self.schema_url))


def scope_of(name: str | None, version: str | None, schema_url: str | None, attributes: object) -> InstrumentationScope:
    """Return the scope that `get_tracer` was asked for."""
    return InstrumentationScope(name or "", version or "", clean(attributes)[0], schema_url or "")
