"""What joins a log record to its trace: the current span, the service, and the model whose call is open."""

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from mmtrace import attributes as names
from mmtrace.calls import telemetry
from mmtrace.calls.context import current_context, model_in

KEYS: Final = (names.LOG_TRACE_ID, names.LOG_SPAN_ID, names.LOG_SERVICE, names.LOG_MODEL)
"""The fields of `correlation`."""


def correlation() -> dict[str, str]:
    """Return trace_id, span_id, service and model of this very moment; what is not known is left out."""
    context = current_context()
    span = trace.get_current_span(context).get_span_context()
    found = {names.LOG_SERVICE: telemetry.current.service, names.LOG_MODEL: model_in(context)}
    if span.is_valid:
        found[names.LOG_TRACE_ID] = trace.format_trace_id(span.trace_id)
        found[names.LOG_SPAN_ID] = trace.format_span_id(span.span_id)
    return {key: found[key] for key in KEYS if found.get(key)}


def given(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the correlation that a record carries already, from another thread or from the user."""
    return {key: facts[key] for key in KEYS if isinstance(facts.get(key), str) and facts[key]}


def context_of(facts: Mapping[str, str]) -> Context:
    """Return the context of a record: the current one, or one with the span that the record carries."""
    try:
        ids = int(facts[names.LOG_TRACE_ID], 16), int(facts[names.LOG_SPAN_ID], 16)
    except (KeyError, ValueError):
        return current_context()
    if ids[1] == trace.get_current_span(current_context()).get_span_context().span_id:
        return current_context()
    span = SpanContext(*ids, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return trace.set_span_in_context(NonRecordingSpan(span), Context()) if span.is_valid else current_context()
