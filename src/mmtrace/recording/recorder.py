"""What the tracers and spans of one provider share."""

from collections.abc import Callable
from typing import Any, Final, Protocol

from opentelemetry.context.context import Context

from mmtrace.recording import guard
from mmtrace.recording.cleaning import plain_types
from mmtrace.recording.limits import SpanLimits, room
from mmtrace.spans import AttributeValue

Redact = Callable[[str, AttributeValue], AttributeValue]
"""Gets key and value of an attribute, returns the value to keep, or None to leave it out."""


class Clock(Protocol):
    """A wall clock and a monotonic one, both in nanoseconds."""

    @property
    def wall(self) -> Callable[[], int]: ...  # noqa: D102

    @property
    def monotonic(self) -> Callable[[], int]: ...  # noqa: D102


class Ids(Protocol):
    """Where ids come from; those of traces are random in their lower seven bytes, and zero stands for 1."""

    @property
    def new_trace_id(self) -> Callable[[], int]: ...  # noqa: D102

    @property
    def new_span_id(self) -> Callable[[], int]: ...  # noqa: D102


class _Enders(dict[str, tuple[tuple[Any, Callable[[Any], object]], ...]]):
    """Who is told of an ended span, by the name of its scope: all but those whose `takes(name)` says no."""

    __slots__ = ("processors",)

    def __init__(self, processors: tuple[Any, ...]) -> None:
        self.processors = processors

    def __missing__(self, scope: str) -> tuple[tuple[Any, Callable[[Any], object]], ...]:
        found = self[scope] = tuple(
            (processor, processor.on_end)
            for processor in self.processors
            if (takes := getattr(processor, "takes", None)) is None or takes(scope)
        )
        return found


class Recorder:
    """Resource, limits, clocks, ids and processors of one provider; `sampled_out` counts the spans left out."""

    __slots__ = (
        "closed",
        "enders",
        "endings",
        "event_room",
        "limits",
        "link_room",
        "monotonic",
        "new_span_id",
        "new_trace_id",
        "plain",
        "processors",
        "redact",
        "resource",
        "room",
        "room_for_shared",
        "sampled_out",
        "starters",
        "wall",
    )

    def __init__(self, resource: Any, limits: SpanLimits, redact: Redact | None, clock: Clock, ids: Ids) -> None:
        self.resource = resource
        self.limits: Final = limits
        self.redact: Final = redact
        self.wall, self.monotonic = clock.wall, clock.monotonic
        self.new_trace_id, self.new_span_id = ids.new_trace_id, ids.new_span_id
        self.plain: Final = plain_types(limits.max_span_attribute_length)
        self.room: Final = room(limits.max_span_attributes)
        self.room_for_shared: Final = self.room if limits.max_span_attribute_length is None else -1
        self.event_room: Final = room(limits.max_events)
        self.link_room: Final = room(limits.max_links)
        self.processors: tuple[Any, ...] = ()
        self.starters: tuple[Any, ...] = ()
        self.endings: tuple[Any, ...] = ()
        self.enders = _Enders(())
        self.sampled_out = 0
        self.closed = False

    def add(self, processor: Any) -> None:
        """Call `processor` from now on, at the ends that it has an interest in."""
        self.processors += (processor,)
        if getattr(processor, "on_start", None) is not None:
            self.starters += (processor,)
        if getattr(processor, "_on_ending", None) is not None:
            self.endings += (processor,)
        if getattr(processor, "on_end", None) is not None:
            self.enders = _Enders((*self.enders.processors, processor))

    def close(self) -> tuple[Any, ...]:
        """Return the processors to shut down, none at the second time."""
        if self.closed:
            return ()
        self.closed = True
        return self.processors

    def started(self, span: Any, parent_context: Context | None) -> None:
        """Tell the processors that `span` began."""
        for processor in self.starters:
            try:
                processor.on_start(span, parent_context=parent_context)
            except Exception as error:  # noqa: PERF203
                blame(processor, "on_start", error)

    def ending(self, span: Any) -> None:
        """Tell the processors that `span` is about to end and may still be changed."""
        for processor in self.endings:
            try:
                processor._on_ending(span)
            except Exception as error:  # noqa: PERF203
                blame(processor, "_on_ending", error)


def blame(processor: object, method: str, error: Exception) -> None:
    """Report that a span processor's method failed."""
    if guard.strict:
        raise error
    who = f"{type(processor).__qualname__}.{method}"
    guard.report(who, f"mmtrace: the span processor's {who} failed: {error!r}", error)
