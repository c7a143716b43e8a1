"""Context over the wire: W3C Trace Context level 2 and W3C Baggage, and other formats by name."""

import functools
import logging
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from opentelemetry.context import get_current
from opentelemetry.context.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import TextMapPropagator, default_getter, default_setter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, get_current_span

from mmtrace.errors import ConfigurationError, nearest
from mmtrace.recording.baggage import W3CBaggagePropagator
from mmtrace.recording.current import with_span
from mmtrace.recording.fields import GETTER, Fields, values_of
from mmtrace.recording.guard import report
from mmtrace.recording.tracestate import W3CTraceState

__all__ = ["Propagators", "W3CBaggagePropagator", "W3CTraceContextPropagator", "propagator_from"]

_TRACEPARENT: Final = "traceparent"
_TRACESTATE: Final = "tracestate"
_MAX_TRACEPARENT: Final = 512
_FORMAT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_STATE: Final = W3CTraceState()
_KNOWN_FLAGS: Final = 3
"""The bits that level 2 defines, sampled and random; the others must not be sent on."""


class W3CTraceContextPropagator(TextMapPropagator):
    """The headers `traceparent` and `tracestate`.

    What is malformed, oversized or there more than once is left out, counted and never raised: the request begins a
    new trace. Source: https://www.w3.org/TR/trace-context-2/.
    """

    def extract(self, carrier: Any, context: Context | None = None, getter: Any = default_getter) -> Context:
        """Return `context` (default: the root) with the remote parent that `carrier` names."""
        context = Context() if context is None else context
        values = values_of(carrier, _TRACEPARENT, getter)
        if not values:
            return context
        if len(values) > 1 or (parent := _parse(values[0])) is None:
            report(_TRACEPARENT, "mmtrace: a malformed or repeated traceparent began a new trace", level=logging.DEBUG)
            return context
        trace_id, span_id, flags = parent
        states = values_of(carrier, _TRACESTATE, getter)
        state = W3CTraceState.from_header(states) if states else _NO_STATE
        remote = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags), trace_state=state)
        return with_span(NonRecordingSpan(remote), context)

    def inject(self, carrier: Any, context: Context | None = None, setter: Any = default_setter) -> None:
        """Write the span of `context` (default: the current one) into `carrier`."""
        span = get_current_span(context).get_span_context()
        if not span.is_valid:
            return
        flags = span.trace_flags & _KNOWN_FLAGS
        setter.set(carrier, _TRACEPARENT, f"00-{span.trace_id:032x}-{span.span_id:016x}-{flags:02x}")
        if span.trace_state:
            setter.set(carrier, _TRACESTATE, span.trace_state.to_header())

    @property
    def fields(self) -> set[str]:
        """The headers that `inject` writes."""
        return {_TRACEPARENT, _TRACESTATE}


class Propagators(CompositePropagator):
    """Several propagators as one; one that fails is reported and does not keep the others from their work."""

    def extract(self, carrier: Any, context: Context | None = None, getter: Any = default_getter) -> Context:
        """Return `context` (default: the root) with what each propagator finds in `carrier`."""
        context = Context() if context is None else context
        for part in self._propagators:
            try:
                context = part.extract(carrier, context, getter)
            except Exception as error:  # noqa: PERF203
                _blame(part, "extract", error)
        return context

    def inject(self, carrier: Any, context: Context | None = None, setter: Any = default_setter) -> None:
        """Write `context` (default: the current one) into `carrier` in the form of each propagator."""
        context = get_current() if context is None else context
        for part in self._propagators:
            try:
                part.inject(carrier, context, setter)
            except Exception as error:  # noqa: PERF203
                _blame(part, "inject", error)


_W3C: Final = Propagators([W3CTraceContextPropagator(), W3CBaggagePropagator()])
_KNOWN: Final[dict[str, Callable[[], TextMapPropagator]]] = {
    "tracecontext": W3CTraceContextPropagator,
    "baggage": W3CBaggagePropagator,
}
_NONE: Final = "none"
_GROUP: Final = "opentelemetry_propagator"


def propagator_from(names: Iterable[str]) -> Propagators:
    """Return the propagator that `OTEL_PROPAGATORS` calls `names`; `none` among them makes one that does nothing.

    Others than `tracecontext` and `baggage` are looked up among the entry points `opentelemetry_propagator`. Raises
    ConfigurationError for an unknown name.
    """
    wanted = list(dict.fromkeys(name.strip().lower() for name in names if name.strip()))
    return Propagators([] if _NONE in wanted else [_propagator(name) for name in wanted])


def _propagator(name: str) -> TextMapPropagator:
    return _KNOWN[name]() if name in _KNOWN else _other_propagator(name)


def _other_propagator(name: str) -> TextMapPropagator:
    from importlib.metadata import entry_points

    found = {point.name: point for point in entry_points(group=_GROUP)}
    if name not in found:
        raise ConfigurationError(f"unknown propagator {name!r}: {nearest(name, [*_KNOWN, *found, _NONE])}")
    make: Callable[[], TextMapPropagator] = found[name].load()
    return make()


@functools.cache
def _global_textmap() -> Callable[[], TextMapPropagator]:
    try:
        from opentelemetry.propagate import get_global_textmap
    except Exception as error:
        report("OTEL_PROPAGATORS", f"mmtrace: the propagators could not be loaded, W3C's are used: {error}", error)
        return lambda: _W3C
    return get_global_textmap


def propagator() -> Any:
    """Return the API's global propagator."""
    return _global_textmap()()


def context_from(fields: Fields) -> Context:
    """Return the root context with what the global propagator finds in `fields`. Never raises."""
    try:
        context: Context = propagator().extract(fields, Context(), GETTER) if fields else Context()
    except Exception as error:
        report("extract", f"mmtrace: the context of a carrier could not be read: {error!r}", error)
        return Context()
    return context


def _parse(traceparent: str) -> tuple[int, int, int] | None:
    match = _FORMAT.fullmatch(traceparent.strip(" \t")) if len(traceparent) <= _MAX_TRACEPARENT else None
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more):
        return None
    parent = int(trace_id, 16), int(span_id, 16), int(flags, 16) & _KNOWN_FLAGS
    return parent if parent[0] and parent[1] else None


def _blame(part: object, method: str, error: Exception) -> None:
    who = f"{type(part).__qualname__}.{method}"
    report(who, f"mmtrace: the propagator's {who} failed: {error!r}", error)
