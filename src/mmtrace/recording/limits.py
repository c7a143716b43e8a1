"""How much one span may hold."""

import os
import sys
from typing import Final

from mmtrace.errors import ConfigurationError

_DEFAULT_COUNT: Final = 128


class SpanLimits:
    """Limits on the counts of attributes, events and links of one span, and on the length of its texts.

    Each is the argument, else the more special of its two OTEL_* variables, else the general one, else 128 (no limit
    for lengths). `SpanLimits.UNSET` and an empty variable mean no limit. Raises ConfigurationError for anything but a
    non-negative integer. Source: the environment variables of the OpenTelemetry specification.
    """

    UNSET: Final = -1

    __slots__ = (
        "max_attribute_length",
        "max_attributes",
        "max_event_attributes",
        "max_events",
        "max_link_attributes",
        "max_links",
        "max_span_attribute_length",
        "max_span_attributes",
    )

    def __init__(
        self,
        max_attributes: int | None = None,
        max_events: int | None = None,
        max_links: int | None = None,
        max_span_attributes: int | None = None,
        max_event_attributes: int | None = None,
        max_link_attributes: int | None = None,
        max_attribute_length: int | None = None,
        max_span_attribute_length: int | None = None,
    ) -> None:
        count, length = "OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"
        span_count, span_length = "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT"
        general = _limit(max_attributes, count, _DEFAULT_COUNT)
        self.max_attributes = general
        self.max_events = _limit(max_events, "OTEL_SPAN_EVENT_COUNT_LIMIT", _DEFAULT_COUNT)
        self.max_links = _limit(max_links, "OTEL_SPAN_LINK_COUNT_LIMIT", _DEFAULT_COUNT)
        self.max_span_attributes = _limit(max_span_attributes, span_count, general)
        self.max_event_attributes = _limit(max_event_attributes, "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", general)
        self.max_link_attributes = _limit(max_link_attributes, "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", general)
        self.max_attribute_length = _limit(max_attribute_length, length, None)
        self.max_span_attribute_length = _limit(max_span_attribute_length, span_length, self.max_attribute_length)

    def __repr__(self) -> str:
        return f"SpanLimits({', '.join(f'{name}={getattr(self, name)}' for name in self.__slots__)})"


def room(limit: int | None) -> int:
    """Return `limit` as a number that counts can be compared with."""
    return sys.maxsize if limit is None else limit


def _limit(argument: int | None, variable: str, default: int | None) -> int | None:
    if argument == SpanLimits.UNSET:
        return None
    if argument is not None:
        return _count(argument, "a limit")
    if (text := os.environ.get(variable)) is None:
        return default
    return _count(text.strip(), variable) if text.strip() else None


def _count(value: int | str, where: str) -> int:
    try:
        count = int(value)
    except ValueError:
        count = -1
    if count < 0:
        raise ConfigurationError(f"{where} must be a non-negative integer, not {value!r}")
    return count
