"""Where the time of one trace went: which model, and whether it waited or worked.

Every moment of the trace counts once. It belongs to the innermost model call that runs; where several run side by side,
those that work come before those that wait, and equals share it. What no model call covers is network or other time.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from opentelemetry.trace import SpanKind

from mmtrace.analysis.calls import Calls
from mmtrace.analysis.intervals import Interval, merge, subtract
from mmtrace.analysis.phases import Phase, phases
from mmtrace.analysis.sweep import share_out
from mmtrace.spans import SpanData, Trace

_RANK: Final = {Phase.COMPUTING: 0, Phase.STREAMING: 0, Phase.WAITING: 1, Phase.NETWORK: 2, Phase.OTHER: 3}
_ORDER: Final = tuple(Phase)


@dataclass(frozen=True, slots=True)
class Share:
    """One model's time in one phase; `spans` are the ids of the spans that it was measured on.

    `model` is None for network and other time, and for a message that waited for no model; `service` is where the
    model was called first, None where there is no model.
    """

    phase: Phase
    model: str | None
    service: str | None
    seconds: float
    fraction: float
    spans: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TimeSpent:
    """All shares of a trace of `duration` seconds: its models in order of their first moment, then the rest."""

    duration: float
    shares: tuple[Share, ...]

    def of(self, *wanted: Phase) -> float:
        """Return the seconds that all models spent in the `wanted` phases."""
        return sum(share.seconds for share in self.shares if share.phase in wanted)

    @property
    def slowest(self) -> tuple[Share, ...]:
        """The shares of the model that took most of the time, the largest first; empty where no model took any."""
        by_model: defaultdict[str, list[Share]] = defaultdict(list)
        for share in self.shares:
            if share.model is not None:
                by_model[share.model].append(share)
        found = max(by_model.values(), key=lambda shares: sum(share.seconds for share in shares), default=[])
        return tuple(sorted(found, key=lambda share: -share.seconds))


@dataclass(frozen=True, slots=True)
class _Owner:
    """Whom a piece of time belongs to."""

    phase: Phase
    model: str | None = None


_Piece: TypeAlias = tuple[SpanData, _Owner, Interval]


def time_spent(trace: Trace) -> TimeSpent:
    """Tell where the time of `trace` went; the fractions add up to one, whatever runs side by side."""
    whole = (trace.start_time, trace.end_time)
    pieces = [(span, owner, piece) for span, owner, (a, b) in _pieces(trace) for piece in _inside(whole, (a, b))]
    taken = share_out(((owner, piece) for _, owner, piece in pieces), rank=lambda owner: _RANK[owner.phase])
    spans = _evidence(pieces)
    length = max(0, whole[1] - whole[0])
    rest = length - sum(taken.values())
    if rest > 1e-9 * length:
        taken[_Owner(Phase.OTHER)] = rest
    shares = (_share(owner, ns, length, spans.get(owner, ())) for owner, ns in taken.items())
    return TimeSpent(trace.duration, tuple(_ordered(shares, pieces)))


def _share(owner: _Owner, taken: float, whole: int, spans: tuple[SpanData, ...]) -> Share:
    service = spans[0].service if owner.model is not None else None
    ids = tuple(span.span_id for span in spans)
    return Share(owner.phase, owner.model, service, taken / 1e9, taken / whole, ids)


def _inside(bounds: Interval, piece: Interval) -> Iterator[Interval]:
    start, end = max(bounds[0], piece[0]), min(bounds[1], piece[1])
    if start < end:
        yield start, end


def _evidence(pieces: Iterable[_Piece]) -> dict[_Owner, tuple[SpanData, ...]]:
    spans: defaultdict[_Owner, dict[int, SpanData]] = defaultdict(dict)
    for span, owner, _ in pieces:
        spans[owner][span.span_id] = span
    return {owner: tuple(found.values()) for owner, found in spans.items()}


def _ordered(shares: Iterable[Share], pieces: Iterable[_Piece]) -> list[Share]:
    firsts: dict[str | None, int] = {}
    for _, owner, (start, _end) in pieces:
        firsts[owner.model] = min(start, firsts.get(owner.model, start))
    return sorted(
        shares,
        key=lambda it: (it.model is None, firsts.get(it.model, 0), it.model or "", _ORDER.index(it.phase)),
    )


def _pieces(trace: Trace) -> Iterator[_Piece]:
    calls = Calls(trace)
    served = {span.span_id: _served(trace, span) for span in trace.spans if span.kind is SpanKind.CLIENT}
    yield from _working(calls, served)
    yield from _in_queues(calls)
    yield from _on_network(trace, served)


def _served(trace: Trace, client: SpanData) -> list[Interval]:
    """Return when the server worked for `client`, as far as the server is in the trace."""
    return merge(_time(child) for child in trace.children(client) if child.kind is SpanKind.SERVER)


def _time(span: SpanData) -> Interval:
    return span.start_time, span.end_time


def _working(calls: Calls, served: Mapping[int, list[Interval]]) -> Iterator[_Piece]:
    away = _away(calls, served)
    for span in (*calls.counted, *calls.batches):
        elsewhere = merge(away.get(span.span_id, ()))
        for phase, start, end in phases(span).intervals():
            owner = _Owner(phase, span.model)
            yield from ((span, owner, piece) for piece in subtract((start, end), elsewhere))


def _away(calls: Calls, served: Mapping[int, list[Interval]]) -> dict[int, list[Interval]]:
    """Return when each call only waited for calls inside it or for servers that it had asked."""
    away: defaultdict[int, list[Interval]] = defaultdict(list)
    around: dict[int, int | None] = {}
    for _, span in calls.trace.walk():
        outer = around.get(span.parent_span_id or 0)
        is_call = calls.enclosing.get(span.span_id) is span
        inner = span.span_id if is_call else outer
        if is_call and outer is not None:
            away[outer].append(_time(span))
        if inner is not None and served.get(span.span_id):
            away[inner].append(_time(span))
        around[span.span_id] = inner
    return away


def _on_network(trace: Trace, served: Mapping[int, list[Interval]]) -> Iterator[_Piece]:
    owner = _Owner(Phase.NETWORK)
    for span_id, times in served.items():
        if times:
            span = trace.by_id[span_id]
            yield from ((span, owner, piece) for piece in subtract(_time(span), times))


def _in_queues(calls: Calls) -> Iterator[_Piece]:
    """Yield the time of messages between being sent and being taken; they waited for the model behind the queue."""
    for span in calls.trace.spans:
        if span.kind is SpanKind.CONSUMER:
            served = calls.serving(span)
            yield (
                span,
                _Owner(Phase.WAITING, served.model if served else None),
                (_sent(calls.trace, span), span.start_time),
            )


def _sent(trace: Trace, consumer: SpanData) -> int:
    if consumer.queue_duration is not None:
        return consumer.start_time - round(consumer.queue_duration * 1e9)
    parent = trace.by_id.get(consumer.parent_span_id or 0)
    was_sent = parent is not None and parent.kind is SpanKind.PRODUCER
    return parent.end_time if parent is not None and was_sent else consumer.start_time
