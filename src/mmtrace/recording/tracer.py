"""The tracer: it decides which spans are recorded, and starts them."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from opentelemetry import trace
from opentelemetry.context.context import Context
from opentelemetry.trace import DEFAULT_TRACE_STATE, Link, NonRecordingSpan, SpanContext, SpanKind, TraceFlags

from mmtrace.recording.current import SPAN_KEY, current
from mmtrace.recording.guard import report
from mmtrace.recording.parts import InstrumentationScope
from mmtrace.recording.recorder import Recorder
from mmtrace.recording.roots import ROOT_SAMPLED
from mmtrace.recording.sampling import Sampler, verdict_of
from mmtrace.recording.scoped import TracerWithBlocks
from mmtrace.recording.span import Span
from mmtrace.spans import AttributeValue

_NOT_ZERO: Final = 1
"""Stands for a random id of zero, which is no id."""
_SAMPLED: Final = 1
_RANDOM: Final = 2
_FLAGS: Final = tuple(TraceFlags(bits) for bits in range(4))
"""Every value that we send on; the other bits are for later levels of W3C Trace Context."""


_Fields: TypeAlias = tuple[int, int, bool, TraceFlags, trace.TraceState, bool]
_plain_context: Final[Callable[[_Fields], SpanContext]] = partial(tuple.__new__, SpanContext)


def _checked_context(fields: _Fields) -> SpanContext:
    return SpanContext(*fields[:5])


_PROBE: Final = (1, 2, False, _FLAGS[3], DEFAULT_TRACE_STATE, True)
_new_context: Final = _plain_context if _plain_context(_PROBE) == _checked_context(_PROBE) else _checked_context
"""Make a valid context; where the API lays it out as we know, without its checks of ids that we made."""


class Tracer(TracerWithBlocks):
    """Starts the spans of one instrumentation scope; made by `TracerProvider.get_tracer`."""

    def __init__(self, recorder: Recorder, scope: InstrumentationScope, sampler: Any) -> None:
        self._recorder: Final = recorder
        self._scope: Final = scope
        self.sampler: Final = sampler

    @property
    def resource(self) -> Any:
        """The provider's resource."""
        return self._recorder.resource

    @property
    def instrumentation_scope(self) -> InstrumentationScope:
        """The library whose spans these are."""
        return self._scope

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, AttributeValue] | None = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,  # noqa: FBT001, FBT002
        set_status_on_exception: bool = True,  # noqa: FBT001, FBT002
    ) -> trace.Span:
        """Start a span, child of the span in `context` (default: the current one). It does not become current."""
        recorder = self._recorder
        if context is None:
            context = current()
        elif type(context) is not Context and not isinstance(context, dict):
            context = _no_context(context)  # type: ignore[unreachable]
        holder = context.get(SPAN_KEY)
        parent = None if holder is None else holder.context if type(holder) is Span else _context_of(holder)
        if parent is None:
            trace_id, flags, state = recorder.new_trace_id() or _NOT_ZERO, _RANDOM, DEFAULT_TRACE_STATE
        else:
            trace_id, flags, state = parent[0], parent[3], parent[4]

        sampler = self.sampler
        if type(sampler) is not Sampler:
            verdict = verdict_of(sampler, context, trace_id, name, kind, attributes, links)
            sampled, recorded, attributes, state = verdict
        elif parent is not None and sampler.parent_based:
            sampled = recorded = bool(flags & _SAMPLED)
        else:
            wanted = context.get(ROOT_SAMPLED) if parent is None else None
            sampled = recorded = (sampler.all or sampler.samples(trace_id)) if wanted is None else bool(wanted)
        span_id = recorder.new_span_id() or _NOT_ZERO
        own = _new_context((trace_id, span_id, False, _FLAGS[flags & _RANDOM | sampled], state, True))
        if not recorded:
            recorder.sampled_out += 1
            return NonRecordingSpan(own)

        span = Span(recorder, self._scope, name, own, parent, kind, attributes, start_time)
        if links or not (record_exception and set_status_on_exception):
            span.begin_with(links, record_exception=record_exception, set_status_on_exception=set_status_on_exception)
        if recorder.starters:
            recorder.started(span, context)
        return span


def _no_context(given: object) -> Context:
    report("context", f"mmtrace: a {type(given).__name__} was given for a Context; the span begins a new trace")
    return Context()


def _context_of(holder: object) -> SpanContext | None:
    """Return the valid context of a span of any make, None where there is none."""
    try:
        context = holder.get_span_context()  # type: ignore[attr-defined]
    except Exception as error:
        report("parent", f"mmtrace: a parent of type {type(holder).__name__} has no span context: {error!r}", error)
        return None
    return context if isinstance(context, SpanContext) and context.is_valid else None
