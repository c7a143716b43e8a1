"""What a span says is shown to the user's `redact` once, before anything reads the finished span."""

from typing import Any

from opentelemetry.trace import Status

from mmtrace import attributes as names
from mmtrace.recording.cleaning import NONE_SHARED, clean_value
from mmtrace.recording.guard import report
from mmtrace.recording.parts import RecordedEvent, RecordedLink
from mmtrace.recording.recorder import Redact
from mmtrace.spans import AttributeValue


def redact_span(span: Any, redact: Redact) -> None:
    """Redact attributes, events, links and the status's description of the recorded `span`, in place.

    Fails closed: a value is left out where `redact` raises or returns None.
    """
    span.own_attributes, span.shared_attributes = redact_attributes(redact, span.attributes), NONE_SHARED
    span.own_events = [_event(redact, event) for event in span.own_events]
    span.own_links = [_link(redact, link) for link in span.own_links]
    status = span.status
    if status.description:
        said = redact_value(redact, names.STATUS_DESCRIPTION, status.description)
        span.status = Status(status.status_code, None if said is None else str(said))


def _event(redact: Redact, event: RecordedEvent) -> RecordedEvent:
    kept = redact_attributes(redact, event.attributes)
    return RecordedEvent(event.name, event.timestamp, kept, event.dropped_attributes)


def _link(redact: Redact, link: RecordedLink) -> RecordedLink:
    return RecordedLink(link.context, redact_attributes(redact, link.attributes), link.dropped_attributes)


def redact_attributes(redact: Redact, attributes: Any) -> dict[str, AttributeValue]:
    """Return what `redact` leaves of a mapping of attributes."""
    kept = {key: redact_value(redact, key, value) for key, value in attributes.items()}
    return {key: value for key, value in kept.items() if value is not None}


def redact_value(redact: Redact, key: str, value: AttributeValue) -> AttributeValue:
    """Return what `redact` leaves of one value: None where it fails."""
    try:
        return clean_value(redact(key, value))
    except Exception as error:
        report("redact", f"mmtrace: redact failed on {key!r}, the value was left out: {type(error).__name__}")
        return None
