"""Examples on metrics that go through the OpenTelemetry Metrics API: few, and of traces that tail sampling keeps."""

import time
from bisect import bisect_left
from collections.abc import Callable
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, AlwaysOnExemplarFilter, ExemplarFilter
from opentelemetry.trace import get_current_span
from opentelemetry.util.types import Attributes

from mmtrace import attributes as names
from mmtrace.metrics.cells import EXEMPLAR_SECONDS

_MOST: Final = 10_000
"""Attribute sets and magnitudes that are remembered; beyond it all are forgotten, which costs a few more examples."""

_NOTHING: Final = AlwaysOffExemplarFilter()


class MarkingExemplarFilter(ExemplarFilter):
    """Lets the first measurement of a set of attributes and a magnitude be an example, then no other for 15 seconds.

    It must come from inside a sampled span that has not ended, and that span is marked with `mmtrace.exemplar`. The
    stock filter lets every sampled measurement in and the last one wins: tail sampling would have to keep all traces,
    or the example would lead to one that is gone (opentelemetry-specification#2922). A magnitude is a bucket of
    `TIME_BUCKETS`; the API does not tell a filter which instrument measures.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[tuple[frozenset[tuple[str, object]], int], float] = {}

    def should_sample(self, value: float, time_unix_nano: int, attributes: Attributes, context: Context) -> bool:
        """Return whether this measurement becomes an example; its span is marked then."""
        span = get_current_span(context)
        if not (
            span.get_span_context().trace_flags.sampled and span.is_recording() and self._is_first(value, attributes)
        ):
            return False
        span.set_attribute(names.EXEMPLAR, True)
        return True

    def _is_first(self, value: float, attributes: Attributes) -> bool:
        try:
            key = frozenset((attributes or {}).items()), bisect_left(names.TIME_BUCKETS, value)
            now = self._clock()
            if now < self._until.get(key, now):
                return False
        except TypeError:  # a list among the attributes
            return False
        if len(self._until) >= _MOST:
            self._until.clear()
        self._until[key] = now + EXEMPLAR_SECONDS
        return True


class ExchangeableExemplarFilter(ExemplarFilter):
    """Does what `chosen` does: a provider keeps its filter for life, a process may be configured anew, or shut down."""

    def __init__(self) -> None:
        self.chosen: ExemplarFilter = _NOTHING

    def choose(self, name: str) -> Callable[[], None]:
        """Let the filter decide that `OTEL_METRICS_EXEMPLAR_FILTER` names; return what ends it, unless one followed."""
        chosen = self.chosen = exemplar_filter(name)

        def end() -> None:
            if self.chosen is chosen:
                self.chosen = _NOTHING

        return end

    def should_sample(self, value: float, time_unix_nano: int, attributes: Attributes, context: Context) -> bool:
        """Return what the chosen filter says."""
        return self.chosen.should_sample(value, time_unix_nano, attributes, context)


def exemplar_filter(name: str) -> ExemplarFilter:
    """Return the filter that `OTEL_METRICS_EXEMPLAR_FILTER` names; `trace_based` is the one that marks."""
    stock = {"always_on": AlwaysOnExemplarFilter, "always_off": AlwaysOffExemplarFilter}
    return stock.get(name, MarkingExemplarFilter)()
