"""The span that is recorded: it keeps what it is told and hands itself over when it ends."""

from collections.abc import Iterable, Mapping
from operator import attrgetter
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode

from mmtrace.recording.cleaning import (
    NONE_SHARED,
    SharedAttributes,
    clean,
    clean_key,
    clean_kind,
    clean_name,
    clean_time,
    clean_value,
    items_of,
)
from mmtrace.recording.exceptions import exception_attributes, exception_message
from mmtrace.recording.guard import report
from mmtrace.recording.json import span_to_json
from mmtrace.recording.parts import OK, UNSET, InstrumentationScope, RecordedEvent, RecordedLink
from mmtrace.recording.recorder import Recorder, blame
from mmtrace.recording.redaction import redact_span
from mmtrace.spans import AttributeValue

if TYPE_CHECKING:
    from opentelemetry.trace import Span as _Base
else:
    _Base = object  # the API's class would give each span a dict of its own


class Span(_Base):
    """A recording span of the OpenTelemetry API, and the finished span that processors and exporters read.

    Made by `Tracer.start_span` only. No method raises, waits or takes a lock: a finalizer may end a span anywhere. What
    comes after the end is left out. Times are nanoseconds since the epoch; the end is the start plus the monotonic
    difference, so that a step of the host's clock does not change a duration.

    `shared_attributes`, `own_attributes`, `own_events` and `own_links` are what encoders read without a copy: the
    attributes are the shared ones, then its own.
    """

    __slots__ = (
        "__dict__",
        "__weakref__",
        "_open",
        "_record_exception",
        "_recorder",
        "_room",
        "_set_status_on_exception",
        "began",
        "context",
        "dropped_attributes",
        "dropped_events",
        "dropped_links",
        "end_time",
        "instrumentation_scope",
        "kind",
        "name",
        "own_attributes",
        "own_events",
        "own_links",
        "parent",
        "shared_attributes",
        "start_time",
        "status",
    )

    def __init__(
        self,
        recorder: Recorder,
        scope: InstrumentationScope,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: Mapping[str, AttributeValue] | None,
        start_time: int | None,
    ) -> None:
        start, began = recorder.wall(), recorder.monotonic()
        if start_time is not None:
            now, start = start, clean_time(start_time) or start
            began -= now - start
        self.start_time = start
        self.began = began
        self._recorder = recorder
        self.instrumentation_scope = scope
        self.name = name if type(name) is str else clean_name(name)
        self.context = context
        self.parent = parent
        self.kind = kind if type(kind) is SpanKind else clean_kind(kind)
        self.end_time: int | None = None
        self._open = True
        self.own_events: list[RecordedEvent] | tuple[()] = ()
        self.own_links: list[Link] | tuple[()] = ()
        self.status = UNSET
        self.dropped_attributes = self.dropped_events = self.dropped_links = 0
        self._record_exception = self._set_status_on_exception = True
        self._room = recorder.room
        self.own_attributes: dict[str, Any] = {}
        if type(attributes) is SharedAttributes and len(attributes) <= recorder.room_for_shared:
            self.shared_attributes = attributes
            self._room -= len(attributes)
        else:
            self.shared_attributes = NONE_SHARED
            if attributes:
                limits = recorder.limits
                cleaned = clean(attributes, limits.max_span_attributes, limits.max_span_attribute_length)
                self.own_attributes, self.dropped_attributes = cleaned

    def begin_with(
        self, links: Iterable[Link] | None, *, record_exception: bool, set_status_on_exception: bool
    ) -> None:
        """Take what few spans are started with."""
        for link in links if isinstance(links, Iterable) else ():
            if isinstance(link, Link):
                self.add_link(link.context, link.attributes)
        self._record_exception = record_exception
        self._set_status_on_exception = set_status_on_exception

    def is_recording(self) -> bool:
        """Return whether the span still takes what it is told."""
        return self._open

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Set one attribute; a value that OTLP cannot say becomes its text."""
        own, kind = self.own_attributes, type(value)
        # Most are counts of something; whether a set holds a type takes longer.
        if len(own) < self._room and (kind is int or kind in self._recorder.plain) and type(key) is str and key:
            own[key] = value
        else:
            self._set_with_care(key, value)

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Set each of `attributes`."""
        for key, value in items_of(attributes):
            self.set_attribute(key, value)

    def share(self, attributes: SharedAttributes) -> bool:
        """Set the last of `attributes` where the span shares all the others already; False where it does not."""
        own = self.own_attributes
        if attributes.start is not self.shared_attributes or attributes.last in own or len(own) >= self._room:
            return False
        self.shared_attributes = attributes
        self._room -= 1
        return True

    def _set_with_care(self, key: object, value: object) -> None:
        if not self._open:
            _late("set_attribute")
            return
        text, room = clean_key(key), self._recorder.room
        if text is None or room == 0:
            self.dropped_attributes += 1
            return
        cleaned = clean_value(value, self._recorder.limits.max_span_attribute_length)
        if self.shared_attributes:
            self.own_attributes = {**self.shared_attributes, **self.own_attributes}
            self.shared_attributes, self._room = NONE_SHARED, room
        attributes = self.own_attributes
        if text not in attributes and len(attributes) >= room:
            del attributes[next(iter(attributes))]
            self.dropped_attributes += 1
        attributes[text] = cleaned

    def add_event(
        self, name: str, attributes: Mapping[str, AttributeValue] | None = None, timestamp: int | None = None
    ) -> None:
        """Add an event; now unless `timestamp` says when."""
        if not self._open:
            _late("add_event")
            return
        recorder = self._recorder
        limits = recorder.limits
        kept, dropped = clean(attributes, limits.max_event_attributes, limits.max_attribute_length)
        now = self._now()
        time = now if timestamp is None else clean_time(timestamp) or now
        events = self.own_events = self.own_events or []
        events.append(RecordedEvent(clean_name(name), time, kept, dropped))
        if len(events) > recorder.event_room:
            del events[0]
            self.dropped_events += 1

    def add_link(self, context: SpanContext, attributes: Mapping[str, AttributeValue] | None = None) -> None:
        """Add a link; one to nowhere only counts if it carries attributes or a tracestate."""
        if not self._open:
            _late("add_link")
            return
        if not isinstance(context, SpanContext) or not (context.is_valid or attributes or context.trace_state):
            return
        limits = self._recorder.limits
        kept, dropped = clean(attributes, limits.max_link_attributes, limits.max_attribute_length)
        links = self.own_links = self.own_links or []
        links.append(RecordedLink(context, kept, dropped))
        if len(links) > self._recorder.link_room:
            del links[0]
            self.dropped_links += 1

    def update_name(self, name: str) -> None:
        """Give the span another name."""
        if self._open:
            self.name = clean_name(name)
        else:
            _late("update_name")

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status: OK is final, UNSET is ignored, a description belongs to an error."""
        if not self._open:
            _late("set_status")
            return
        code = status.status_code if isinstance(status, Status) else status
        if self.status.status_code is StatusCode.OK or code is StatusCode.UNSET:
            return
        if isinstance(status, Status):
            self.status = status
        elif code is StatusCode.OK:
            self.status = OK
        elif code is StatusCode.ERROR:
            self.status = Status(code, description if isinstance(description, str) else None)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, AttributeValue] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        """Add an `exception` event: type, message and traceback."""
        if not self._open:
            _late("record_exception")
            return
        said: dict[str, Any] = {**exception_attributes(exception, escaped=escaped), **dict(items_of(attributes))}
        self.add_event("exception", said, timestamp)

    def _fail(self, exception: BaseException, *, escaped: bool = False) -> None:
        if self._record_exception:
            self.record_exception(exception, escaped=escaped)
        if self._set_status_on_exception:
            said = f"{type(exception).__name__}: {exception_message(exception)}"
            self.set_status(Status(StatusCode.ERROR, said))

    def end(self, end_time: int | None = None) -> None:
        """End the span, once: now, or at `end_time`."""
        recorder = self._recorder
        if type(end_time) is not int:
            end_time = clean_time(end_time)
            if end_time is None:
                end_time = self._now()
        if self.end_time is not None:
            _late("end")
            return
        self.end_time = end_time  # no call since the check: neither a thread nor a finalizer comes between
        if recorder.endings:
            recorder.ending(self)
        if recorder.redact is not None:
            redact_span(self, recorder.redact)
        self._open = False
        self._room = 0
        for processor, on_end in recorder.enders[self.instrumentation_scope.name]:
            try:
                on_end(self)
            except Exception as error:  # noqa: PERF203
                blame(processor, "on_end", error)

    def __enter__(self) -> "Span":  # noqa: PYI034
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        if isinstance(exc_val, Exception) and self._open:
            self._fail(exc_val, escaped=True)
        self.end()

    def get_span_context(self) -> SpanContext:
        """Return what identifies the span to others."""
        return self.context

    def _now(self) -> int:
        return self.start_time + self._recorder.monotonic() - self.began

    @property
    def _start_time(self) -> int:
        return self.start_time  # contrib reads it by the SDK's private name

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The attributes, for reading."""
        own, shared = self.own_attributes, self.shared_attributes
        return MappingProxyType({**shared, **own} if shared else own)

    @property
    def events(self) -> tuple[RecordedEvent, ...]:
        """The events, in the order in which they were added."""
        return tuple(self.own_events)

    @property
    def links(self) -> tuple[Link, ...]:
        """The links, in the order in which they were added."""
        return tuple(self.own_links)

    resource = property(attrgetter("_recorder.resource"), doc="What recorded it: the provider's resource.")

    def to_json(self, indent: int | None = 4) -> str:
        """Return the span as the JSON that the SDK's console exporter prints."""
        return span_to_json(self, indent)

    def __repr__(self) -> str:
        return f"Span({self.name!r}, {self.context!r})"


trace.Span.register(Span)


def _late(method: str) -> None:
    report(f"{method} after end", f"mmtrace: {method}() came after the span's end and was left out")
