"""What happened inside one model call: it waited, it computed, and it streamed its answer."""

from dataclasses import dataclass
from enum import Enum

from mmtrace import attributes as names
from mmtrace.spans import SpanData


class Phase(str, Enum):
    """What time was spent on."""

    WAITING = "waiting"
    """In a queue, from the arrival of a request to the start of compute."""
    COMPUTING = "computing"
    """From the start of compute to the end of the call, or to the first item of its stream."""
    STREAMING = "streaming"
    """From the first item of a stream to its end."""
    NETWORK = "network"
    """Inside a client's span, but outside of its server's."""
    OTHER = "other"
    """Anything else."""


@dataclass(frozen=True, slots=True)
class Phases:
    """The moments that part a call, in order; `first_output` is None for a call that does not stream."""

    start: int
    compute_start: int
    first_output: int | None
    end: int

    def intervals(self) -> tuple[tuple[Phase, int, int], ...]:
        """Return (phase, start, end) of each phase that took any time."""
        compute_end = self.end if self.first_output is None else self.first_output
        found = (
            (Phase.WAITING, self.start, self.compute_start),
            (Phase.COMPUTING, self.compute_start, compute_end),
            (Phase.STREAMING, compute_end, self.end),
        )
        return tuple(phase for phase in found if phase[2] > phase[1])


def phases(span: SpanData) -> Phases:
    """Part the time of a model call; a moment outside of the span moves to its border."""
    start, end = span.start_time, max(span.start_time, span.end_time)
    compute_start = min(max(_compute_start(span), start), end)
    first = first_output(span)
    return Phases(start, compute_start, None if first is None else min(max(first, compute_start), end), end)


def _compute_start(span: SpanData) -> int:
    moment = _event(span, names.COMPUTE_START)
    return span.start_time + round((span.queue_duration or 0) * 1e9) if moment is None else moment


def first_output(span: SpanData) -> int | None:
    """Return when a stream gave its first item, by its event or by its attribute; None where nothing streamed."""
    moment = _event(span, names.FIRST_OUTPUT)
    if moment is not None:
        return moment
    for key in (names.TIME_TO_FIRST_OUTPUT, names.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK):
        if (seconds := number(span, key)) is not None:
            return span.start_time + round(seconds * 1e9)
    return None


def number(span: SpanData, key: str) -> float | None:
    """Return the attribute `key` as a finite number, or None where it is none."""
    value = span.attributes.get(key)
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")
    return float(value) if usable else None  # type: ignore[arg-type]  # a number, as just seen


def _event(span: SpanData, name: str) -> int | None:
    return next((event.time for event in span.events if event.name == name), None)
