"""Which traces are recorded: the standard samplers as two numbers, any other by its name."""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from opentelemetry.context.context import Context
from opentelemetry.trace import DEFAULT_TRACE_STATE, SpanKind, TraceState, get_current_span

from mmtrace.errors import ConfigurationError, nearest
from mmtrace.recording.guard import report

_ALL: Final = 1 << 64
_TRACE_ID_PART: Final = _ALL - 1
"""The part of a trace id that decides, the same as in the OpenTelemetry SDKs."""

Verdict: TypeAlias = tuple[bool, bool, Any, TraceState]
"""Whether a span is sampled and whether it is recorded, its attributes and its tracestate."""

_GROUP: Final = "opentelemetry_traces_sampler"


class Sampler:
    """Samples the traces whose id's lower 64 bits lie under `bound`; with `parent_based`, as the parent was.

    The tracer knows this class and asks it nothing for children; `should_sample` is for samplers that hold one.
    """

    __slots__ = ("all", "bound", "parent_based")

    def __init__(self, ratio: float = 1.0, *, parent_based: bool = True) -> None:
        self.bound: Final = round(ratio * _ALL)
        self.all: Final = self.bound == _ALL
        self.parent_based: Final = parent_based

    def samples(self, trace_id: int) -> bool:
        """Return whether the id of a trace lies under the bound."""
        return trace_id & _TRACE_ID_PART < self.bound

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Any = None,
        trace_state: TraceState | None = None,
    ) -> Any:
        """Return the SDK's SamplingResult, as the Sampler interface asks."""
        from opentelemetry.sdk.trace.sampling import Decision, SamplingResult

        parent = get_current_span(parent_context).get_span_context()
        sampled = parent.trace_flags.sampled if self.parent_based and parent.is_valid else self.samples(trace_id)
        if sampled:
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, parent.trace_state)
        return SamplingResult(Decision.DROP, None, parent.trace_state)

    def get_description(self) -> str:
        """Return what the Sampler interface calls the description."""
        ratio = f"TraceIdRatioBased{{{self.bound / _ALL}}}"
        return f"ParentBased{{root:{ratio}}}" if self.parent_based else ratio


DEFAULT: Final = Sampler()
"""As the parent was; every root."""

_KNOWN: Final[dict[str, tuple[float | None, bool]]] = {
    "always_on": (1.0, False),
    "always_off": (0.0, False),
    "traceidratio": (None, False),
    "parentbased_always_on": (1.0, True),
    "parentbased_always_off": (0.0, True),
    "parentbased_traceidratio": (None, True),
}


def sampler_from(name: str, arg: str | None = None) -> Any:
    """Return the sampler that `OTEL_TRACES_SAMPLER` calls `name`, with `OTEL_TRACES_SAMPLER_ARG`.

    A name that is not standard is looked up among the entry points `opentelemetry_traces_sampler`. Raises
    ConfigurationError for an unknown name and for a ratio that is no number from 0 to 1.
    """
    known = _KNOWN.get(name.strip().lower())
    if known is None:
        return _other_sampler(name.strip(), arg or "")
    ratio, parent_based = known
    return Sampler(_ratio(name, arg) if ratio is None else ratio, parent_based=parent_based)


def _ratio(name: str, arg: str | None) -> float:
    try:
        ratio = float(arg) if arg and arg.strip() else 1.0
    except ValueError:
        ratio = -1.0
    if not 0.0 <= ratio <= 1.0:
        raise ConfigurationError(f"the argument of the sampler {name} must be a number from 0 to 1, not {arg!r}")
    return ratio


def _other_sampler(name: str, arg: str) -> Any:
    from importlib.metadata import entry_points

    found = {point.name: point for point in entry_points(group=_GROUP)}
    if name not in found:
        raise ConfigurationError(f"unknown sampler {name!r}: {nearest(name.lower(), [*_KNOWN, *found])}")
    make: Callable[[str], Any] = found[name].load()
    return make(arg)


def verdict_of(
    sampler: Any, context: Context | None, trace_id: int, name: str, kind: SpanKind, attributes: Any, links: Any
) -> Verdict:
    """Ask a sampler of another make. One that fails is left out: the span follows the default."""
    try:
        result = sampler.should_sample(context, trace_id, name, kind, attributes, links or ())
        decision = result.decision
        state = DEFAULT_TRACE_STATE if result.trace_state is None else result.trace_state
        return decision.is_sampled(), decision.is_recording(), result.attributes, state
    except Exception as error:
        report("sampler", f"mmtrace: the sampler {type(sampler).__qualname__} failed: {error!r}", error)
        parent = get_current_span(context).get_span_context()
        sampled = parent.trace_flags.sampled if parent.is_valid else True
        return sampled, sampled, attributes, parent.trace_state
