"""The figures of each model over many traces: how often it was called, how it ended, how long it took."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from mmtrace import attributes as names
from mmtrace.analysis.calls import Calls, outcome
from mmtrace.analysis.percentiles import p95, percentile
from mmtrace.analysis.phases import Phase, number, phases
from mmtrace.analysis.where import TimeSpent, time_spent
from mmtrace.spans import SpanData, Trace

_WORK: Final = (Phase.WAITING, Phase.COMPUTING, Phase.STREAMING)


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """One model between two moments; durations in seconds, rates per second.

    `error_ratio` leaves cancelled calls out. `share` is the model's part of the time of all traces, and `waiting`,
    `computing` and `streaming` are the seconds it is made of. `history` counts calls in equal parts of the time.
    What was never recorded is None. `source` is where all but the share comes from: spans or metrics.
    """

    model: str
    services: tuple[str, ...]
    tasks: tuple[str, ...]
    calls: int = 0
    rate: float = 0.0
    errors: int = 0
    error_ratio: float = 0.0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    first_output_p95: float | None = None
    queue_p95: float | None = None
    batch_size: float | None = None
    tokens_rate: float | None = None
    share: float = 0.0
    waiting: float = 0.0
    computing: float = 0.0
    streaming: float = 0.0
    history: tuple[int, ...] = ()
    source: Literal["spans", "metrics"] = "spans"


@dataclass
class _Tally:
    """What is gathered of one model while traces pass by."""

    services: dict[str, None] = field(default_factory=dict)
    tasks: dict[str, None] = field(default_factory=dict)
    starts: list[int] = field(default_factory=list)
    durations: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    queues: list[float] = field(default_factory=list)
    first_outputs: list[float] = field(default_factory=list)
    batches: list[float] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)
    tokens: list[float] = field(default_factory=list)
    seconds: defaultdict[Phase, float] = field(default_factory=lambda: defaultdict(float))

    def add_call(self, span: SpanData) -> None:
        self.services[span.service] = None
        self.tasks[str(span.attributes.get(names.MODEL_TASK) or "infer")] = None
        self.starts.append(span.start_time)
        self.durations.append(span.duration)
        self.outcomes[outcome(span)] += 1
        _append(self.queues, span.queue_duration)
        _append(self.sizes, number(span, names.BATCH_SIZE))
        _append(self.tokens, _output_tokens(span))
        first = phases(span).first_output
        _append(self.first_outputs, None if first is None else (first - span.start_time) / 1e9)

    def add_batch(self, span: SpanData) -> None:
        size = number(span, names.BATCH_SIZE)
        self.batches.append(float(len(span.links)) if size is None else size)


def _append(values: list[float], value: float | None) -> None:
    if value is not None:
        values.append(value)


def _output_tokens(span: SpanData) -> float | None:
    own = number(span, names.OUTPUT_TOKENS)
    return number(span, names.GEN_AI_USAGE_OUTPUT_TOKENS) if own is None else own


def model_figures(traces: Iterable[Trace], start_ns: int, end_ns: int, parts: int = 30) -> tuple[ModelFigures, ...]:
    """Return the figures of every model that `traces` called between the two moments, the largest share first.

    A trace of a batch alone counts for the sizes of batches; its time is in the traces of the requests that it served.
    """
    tallies: defaultdict[str, _Tally] = defaultdict(_Tally)
    whole = 0.0
    for trace in traces:
        calls = Calls(trace)
        for span in calls.counted:
            tallies[span.model or ""].add_call(span)
        for span in calls.batches:
            tallies[span.model or ""].add_batch(span)
        if calls.enclosing.get(trace.root.span_id) not in calls.batches:
            whole += trace.duration
            _add_time(tallies, time_spent(trace))
    window = _Window(start_ns, end_ns, parts, whole)
    found = [_figures(model, tally, window) for model, tally in tallies.items() if tally.starts]
    return tuple(sorted(found, key=lambda figures: (-figures.share, figures.model)))


def _add_time(tallies: defaultdict[str, _Tally], spent: TimeSpent) -> None:
    for share in spent.shares:
        if share.model is not None:
            tallies[share.model].seconds[share.phase] += share.seconds


@dataclass(frozen=True, slots=True)
class _Window:
    """The time that figures are of; `traced` is the seconds of all its traces."""

    start: int
    end: int
    parts: int
    traced: float

    @property
    def seconds(self) -> float:
        return max(self.end - self.start, 1) / 1e9

    def history(self, starts: Iterable[int]) -> tuple[int, ...]:
        width = max(self.end - self.start, 1)
        counts = Counter((start - self.start) * self.parts // width for start in starts)
        return tuple(counts[part] for part in range(self.parts))


def _figures(model: str, tally: _Tally, window: _Window) -> ModelFigures:
    ordered = sorted(tally.durations)
    errors = tally.outcomes["error"]
    judged = errors + tally.outcomes["ok"]
    waiting, computing, streaming = (tally.seconds[phase] for phase in _WORK)
    return ModelFigures(
        model=model,
        services=tuple(tally.services),
        tasks=tuple(tally.tasks),
        calls=len(ordered),
        rate=len(ordered) / window.seconds,
        errors=errors,
        error_ratio=errors / judged if judged else 0.0,
        p50=percentile(ordered, 0.5),
        p95=percentile(ordered, 0.95),
        p99=percentile(ordered, 0.99),
        first_output_p95=p95(tally.first_outputs),
        queue_p95=p95(tally.queues),
        batch_size=_mean(tally.batches or tally.sizes),
        tokens_rate=sum(tally.tokens) / window.seconds if tally.tokens else None,
        share=(waiting + computing + streaming) / window.traced if window.traced else 0.0,
        waiting=waiting,
        computing=computing,
        streaming=streaming,
        history=window.history(tally.starts),
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
