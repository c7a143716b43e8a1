"""A finished span as a frozen value, whoever recorded it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from opentelemetry.trace import SpanKind, StatusCode

from mmtrace import attributes as names

AttributeValue: TypeAlias = (
    "str | bool | int | float | bytes | Sequence[AttributeValue] | Mapping[str, AttributeValue] | None"
)
"""A value of OTLP's AnyValue."""

Attributes: TypeAlias = Mapping[str, AttributeValue]


@dataclass(frozen=True, slots=True)
class Resource:
    """What produced a span: the service and its process."""

    attributes: Attributes = field(default_factory=dict)
    schema_url: str = ""

    @property
    def service(self) -> str:
        """The name of the service, `unknown_service` where none was given."""
        return str(self.attributes.get(names.SERVICE_NAME) or "unknown_service")


@dataclass(frozen=True, slots=True)
class Scope:
    """The library that recorded a span."""

    name: str = ""
    version: str = ""
    attributes: Attributes = field(default_factory=dict)
    schema_url: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened while a span ran; `time` in nanoseconds since the epoch."""

    name: str
    time: int
    attributes: Attributes = field(default_factory=dict)
    dropped_attributes: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """A pointer from one span to another, perhaps of another trace."""

    trace_id: int
    span_id: int
    attributes: Attributes = field(default_factory=dict)
    trace_state: str = ""
    flags: int = 0
    dropped_attributes: int = 0


@dataclass(frozen=True, slots=True)
class SpanData:
    """One finished span; times in nanoseconds since the epoch, ids as integers as in the OpenTelemetry API."""

    trace_id: int
    span_id: int
    name: str
    start_time: int
    end_time: int
    parent_span_id: int | None = None
    kind: SpanKind = SpanKind.INTERNAL
    attributes: Attributes = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    links: tuple[Link, ...] = ()
    status: StatusCode = StatusCode.UNSET
    status_message: str = ""
    trace_state: str = ""
    flags: int = 0
    resource: Resource = field(default_factory=Resource)
    scope: Scope = field(default_factory=Scope)
    dropped_attributes: int = 0
    dropped_events: int = 0
    dropped_links: int = 0

    @property
    def duration(self) -> float:
        """Seconds between start and end, never negative."""
        return max(0, self.end_time - self.start_time) / 1e9

    @property
    def service(self) -> str:
        """The name of the service that recorded it."""
        return self.resource.service

    @property
    def model(self) -> str | None:
        """The model that it is a call of, by mmtrace's name or by the GenAI conventions; None for any other span."""
        name = self.attributes.get(names.MODEL_NAME) or self.attributes.get(names.GEN_AI_REQUEST_MODEL)
        return str(name) if name else None

    @property
    def queue_duration(self) -> float | None:
        """Seconds that the request waited before compute began, where that was recorded."""
        value = self.attributes.get(names.QUEUE_DURATION)
        return float(value) if isinstance(value, (int, float)) else None

    @property
    def is_error(self) -> bool:
        """Whether its status is an error."""
        return self.status is StatusCode.ERROR
