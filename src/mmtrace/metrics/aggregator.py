"""The aggregates of finished model calls: about a microsecond a call, no lock, every thread on its own.

A call is counted in cells that belong to the calling thread (see `cells` for why nothing is lost where a finalizer ends
a call inside an update). The reader sums the cells of all threads; it changes nothing, so that any number may read.
"""

import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from mmtrace import attributes as names
from mmtrace.metrics.cells import Distribution, Exemplar, Line, Number
from mmtrace.metrics.shards import Sharded
from mmtrace.recording.forks import at_fork

MAX_LABEL_SETS: Final = 2000
"""Label sets of one metric; what comes beyond goes to one overflow set."""

_CALL_LABELS: Final = (names.LABEL_MODEL, names.LABEL_VERSION, names.LABEL_TASK, names.LABEL_FRAMEWORK)

_OTHERS: Final = {
    "batch": names.MODEL_BATCH_SIZE,
    "queue": names.CALL_QUEUE_DURATION,
    "device": names.CALL_DEVICE_DURATION,
    "first": names.CALL_TIME_TO_FIRST_OUTPUT,
    "per": names.CALL_TIME_PER_OUTPUT,
}

_Labels: TypeAlias = tuple[str, ...]
_Attributes: TypeAlias = dict[str, str | bool]

_NONE: Final[_Attributes] = {}


@dataclass(frozen=True, slots=True)
class Reading:
    """The state of one time series: `value` of a number; `counts` per bucket and `sum` of a histogram."""

    line: Line
    value: int = 0
    counts: tuple[int, ...] = ()
    sum: float = 0.0
    exemplars: tuple[Exemplar, ...] = ()


class ModelMetrics:
    """Counts model calls and pipelines of this process; a forked child starts at zero.

    Args:
        limit: label sets per metric before the overflow set.
        time_buckets: bounds of the histograms of time, in seconds.
        clock: monotonic seconds, for the exemplars.
    """

    def __init__(
        self,
        *,
        limit: int = MAX_LABEL_SETS,
        time_buckets: tuple[float, ...] = names.TIME_BUCKETS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._time_buckets = time_buckets
        self._clock = clock
        self._series: dict[_Labels, CallSeries] = {}
        self._overflow_series = CallSeries(self, {names.METRIC_OVERFLOW: True})
        self._pipelines = _PipelineSeries(self, {})
        self.start_over()
        at_fork(self, in_child=ModelMetrics.start_over)

    def use_time_buckets(self, bounds: tuple[float, ...]) -> None:
        """Give these bounds, in seconds, to histograms of time that begin from now on; those that exist keep theirs."""
        self._time_buckets = bounds

    def start_over(self) -> None:
        """Forget every measurement: the state of a new process."""
        self.start_time = time.time_ns()
        self._cells: list[Number | Distribution] = []
        self._tickets = {metric.name: itertools.count() for metric in names.METRICS}
        self._overflow: dict[str, Line] = {}
        for series in (*self._series.values(), self._overflow_series, self._pipelines):
            series.start_over()

    def series(self, model: str, version: str = "", task: str = "", framework: str = "") -> "CallSeries":
        """Return the series of these labels, the same one for the same labels; empty labels are left out."""
        key = (model, version, task, framework)
        known = self._series.get(key)
        if known is not None:
            return known
        if len(self._series) >= self._limit:
            return self._overflow_series
        return self._series.setdefault(key, CallSeries(self, _given(zip(_CALL_LABELS, key, strict=True))))

    def pipeline(
        self, name: str, outcome: str, error_type: str, seconds: float, *, trace_id: int = 0, span_id: int = 0
    ) -> bool:
        """Count one finished pipeline; return whether it became an exemplar (only a sampled one gives its ids)."""
        return self._pipelines.end(name, outcome, error_type, seconds, trace_id=trace_id, span_id=span_id)

    def read(self) -> list[Reading]:
        """Return the sum over all threads of every time series that was ever written to."""
        parts: dict[Line, list[Number | Distribution]] = {}
        for cell in self._cells.copy():
            parts.setdefault(cell.line, []).append(cell)
        return [total(line, cells) for line, cells in parts.items()]

    def line(self, metric: names.Metric, attributes: _Attributes) -> Line:
        """Return a new time series of `metric`, or the one that takes the overflow where that is one too many."""
        bounds = self._time_buckets if metric.buckets is names.TIME_BUCKETS else metric.buckets
        if names.METRIC_OVERFLOW not in attributes and next(self._tickets[metric.name]) < self._limit:
            return Line(metric, attributes, bounds, self._clock)
        overflow = Line(metric, {names.METRIC_OVERFLOW: True}, bounds, self._clock)
        return self._overflow.setdefault(metric.name, overflow)

    def number(self, line: Line) -> Number:
        """Return a new cell of `line` that the reader sees."""
        cell = Number(line)
        self._cells.append(cell)
        return cell

    def distribution(self, line: Line) -> Distribution:
        """Return a new cell of `line` that the reader sees."""
        cell = Distribution(line)
        self._cells.append(cell)
        return cell


class _Shard:
    """The cells of one series that one thread writes.

    Where a finalizer takes a place first, its cell loses the place but not its counts: the reader sees every cell.
    """

    __slots__ = ("active", "batch", "device", "durations", "first", "input", "ok", "output", "per", "queue")

    def __init__(self) -> None:
        self.active: Number | None = None
        self.input: Number | None = None
        self.output: Number | None = None
        self.ok: Distribution | None = None
        self.batch: Distribution | None = None
        self.queue: Distribution | None = None
        self.device: Distribution | None = None
        self.first: Distribution | None = None
        self.per: Distribution | None = None
        self.durations: dict[_Labels, Distribution] = {}


class _Series(Sharded[_Shard]):
    """Time series that share attributes; a key tells them apart."""

    __slots__ = ("_attributes", "_lines", "_metrics")

    def __init__(self, metrics: ModelMetrics, attributes: _Attributes) -> None:
        self._metrics = metrics
        self._attributes = attributes
        super().__init__()

    def start_over(self) -> None:
        super().start_over()
        self._lines: dict[_Labels, Line] = {}

    def _fresh(self) -> _Shard:
        return _Shard()

    def _line(self, key: _Labels, metric: names.Metric, more: _Attributes) -> Line:
        known = self._lines.get(key)
        return known or self._lines.setdefault(key, self._metrics.line(metric, self._attributes | more))

    def _distribution(self, key: _Labels, metric: names.Metric, more: _Attributes = _NONE) -> Distribution:
        return self._metrics.distribution(self._line(key, metric, more))

    def _number(self, key: str, metric: names.Metric, more: _Attributes = _NONE) -> Number:
        return self._metrics.number(self._line((key,), metric, more))


class CallSeries(_Series):
    """The calls of one model: `begin` when one starts and `end` when it has ended, from any thread or finalizer."""

    __slots__ = ()

    def begin(self) -> None:
        """Count a call as active."""
        try:
            shard: _Shard = self._local.shard
        except AttributeError:
            shard = self._lease()
        (shard.active or self._active(shard)).value += 1

    def end(
        self,
        outcome: str,
        error_type: str,
        seconds: float,
        trace_id: int = 0,
        span_id: int = 0,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        batch_size: int | None = None,
        queue: float | None = None,
        device: float | None = None,
        first_output: float | None = None,
        per_output: float | None = None,
    ) -> bool:
        """Count a call that `begin` counted; return whether it became an exemplar of any of its histograms.

        Args:
            outcome: ok, error or cancelled.
            error_type: what the error was, empty where there was none.
            seconds: how long the call took.
            trace_id: of the call's span if it is sampled, else 0.
            span_id: likewise.
            input_tokens: tokens in.
            output_tokens: tokens out.
            batch_size: requests that the call served, if it was a batch of its own.
            queue: seconds that it waited before that.
            device: seconds on the accelerator.
            first_output: seconds to the first item of a stream.
            per_output: mean seconds per further item.
        """
        try:
            shard: _Shard = self._local.shard
        except AttributeError:
            shard = self._lease()
        (shard.active or self._active(shard)).value -= 1
        if outcome == "ok":
            duration = shard.ok or self._ok(shard)
        else:
            duration = shard.durations.get((outcome, error_type)) or self._duration(shard, (outcome, error_type))
        marked = duration.add(seconds, trace_id, span_id)
        if input_tokens:
            (shard.input or self._input(shard)).value += input_tokens
        if output_tokens:
            (shard.output or self._output(shard)).value += output_tokens
        if batch_size is not None:
            (shard.batch or self._other(shard, "batch")).add(batch_size)
        if queue is not None:
            marked |= (shard.queue or self._other(shard, "queue")).add(queue, trace_id, span_id)
        if device is not None:
            marked |= (shard.device or self._other(shard, "device")).add(device, trace_id, span_id)
        if first_output is not None:
            marked |= (shard.first or self._other(shard, "first")).add(first_output, trace_id, span_id)
        if per_output is not None:
            marked |= (shard.per or self._other(shard, "per")).add(per_output, trace_id, span_id)
        return marked

    def batch(self, size: int) -> None:
        """Count one executed batch of `size` requests, which are counted as calls on their own."""
        try:
            shard: _Shard = self._local.shard
        except AttributeError:
            shard = self._lease()
        (shard.batch or self._other(shard, "batch")).add(size)

    def _active(self, shard: _Shard) -> Number:
        cell = shard.active = self._number("active", names.CALLS_ACTIVE)
        return cell

    def _input(self, shard: _Shard) -> Number:
        cell = shard.input = self._number("input", names.MODEL_TOKENS, {names.LABEL_DIRECTION: "input"})
        return cell

    def _output(self, shard: _Shard) -> Number:
        cell = shard.output = self._number("output", names.MODEL_TOKENS, {names.LABEL_DIRECTION: "output"})
        return cell

    def _ok(self, shard: _Shard) -> Distribution:
        cell = shard.ok = self._duration(shard, ("ok", ""))
        return cell

    def _duration(self, shard: _Shard, key: tuple[str, str]) -> Distribution:
        labels = _given(((names.LABEL_OUTCOME, key[0]), (names.ERROR_TYPE, key[1])))
        cell = shard.durations[key] = self._distribution(key, names.CALL_DURATION, labels)
        return cell

    def _other(self, shard: _Shard, name: str) -> Distribution:
        cell = self._distribution((name,), _OTHERS[name])
        setattr(shard, name, cell)
        return cell


class _PipelineSeries(_Series):
    """All pipelines, told apart by name, outcome and error."""

    __slots__ = ()

    def end(self, name: str, outcome: str, error_type: str, seconds: float, *, trace_id: int, span_id: int) -> bool:
        """Count one finished pipeline; return whether it became an exemplar."""
        try:
            shard: _Shard = self._local.shard
        except AttributeError:
            shard = self._lease()
        key = (name, outcome, error_type)
        cell = shard.durations.get(key)
        if cell is None:
            labels = zip(names.PIPELINE_DURATION.labels, key, strict=True)
            cell = shard.durations[key] = self._distribution(key, names.PIPELINE_DURATION, _given(labels))
        return cell.add(seconds, trace_id, span_id)


def _given(labels: Iterable[tuple[str, str]]) -> _Attributes:
    """Return the labels that have a value, as text that UTF-8 can hold; to Prometheus an empty label is none."""
    return {label: value.encode("utf-8", "replace").decode("utf-8") for label, value in labels if value}


def total(line: Line, cells: Iterable[Number | Distribution]) -> Reading:
    """Return the sum of the cells of one time series."""
    if not line.bounds:
        return Reading(line, value=sum(int(cell.value) for cell in cells if isinstance(cell, Number)))
    parts = [(cell.counts.copy(), cell.sum) for cell in cells if isinstance(cell, Distribution)]
    return Reading(
        line,
        counts=tuple(sum(column) for column in zip(*(counts for counts, _ in parts), strict=True)),
        sum=float(sum(part for _, part in parts)),
        exemplars=tuple(line.exemplars.latest()),
    )
