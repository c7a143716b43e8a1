"""The figures of models as their metrics tell them, which also count the calls that sampling left out of the traces."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from mmtrace import attributes as names
from mmtrace.analysis.models import ModelFigures
from mmtrace.analysis.series import Point, Sum

READ: Final = (
    names.CALL_DURATION,
    names.CALL_QUEUE_DURATION,
    names.CALL_TIME_TO_FIRST_OUTPUT,
    names.MODEL_BATCH_SIZE,
    names.MODEL_TOKENS,
)
"""The metrics that are looked at."""


@dataclass
class _Measured:
    """What the metrics of one model say of a time."""

    services: dict[str, None] = field(default_factory=dict)
    tasks: dict[str, None] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    history: Counter[int] = field(default_factory=Counter)
    sums: defaultdict[str, Sum] = field(default_factory=lambda: defaultdict(Sum))

    def add(self, name: str, point: Point, part: int) -> None:
        if name == names.CALL_DURATION.name:
            self.services[point.service] = None
            self.tasks[point.labels.get(names.LABEL_TASK) or "infer"] = None
            self.outcomes[point.labels.get(names.LABEL_OUTCOME, "ok")] += point.count
            self.history[part] += point.count
        if name != names.MODEL_TOKENS.name or point.labels.get(names.LABEL_DIRECTION) == "output":
            self.sums[name].add(point)


def with_metrics(
    figures: Iterable[ModelFigures], grown: Mapping[str, Iterable[Point]], start_ns: int, end_ns: int, parts: int = 30
) -> tuple[ModelFigures, ...]:
    """Replace the figures of models of which metrics know more calls than spans do, and add those without any span.

    `grown` is by how much the metrics in `READ` grew, by name. A model's share of the time stays as its spans tell it.
    """
    known = {it.model: it for it in figures}
    for model, measured in _measured(grown, start_ns, end_ns, parts).items():
        calls = measured.sums[names.CALL_DURATION.name].count
        if calls > (known[model].calls if model in known else 0):
            base = known.get(model) or _unseen(model, measured)
            known[model] = _replaced(base, measured, (end_ns - start_ns) / 1e9, parts)
    return tuple(sorted(known.values(), key=lambda it: (-it.share, it.model)))


def _measured(grown: Mapping[str, Iterable[Point]], start: int, end: int, parts: int) -> dict[str, _Measured]:
    found: defaultdict[str, _Measured] = defaultdict(_Measured)
    for name, points in grown.items():
        for point in points:
            part = min(max((point.time - start) * parts // max(end - start, 1), 0), parts - 1)
            found[point.labels.get(names.LABEL_MODEL, "")].add(name, point, part)
    return found


def _unseen(model: str, measured: _Measured) -> ModelFigures:
    return ModelFigures(model, tuple(measured.services), tuple(measured.tasks))


def _replaced(base: ModelFigures, measured: _Measured, seconds: float, parts: int) -> ModelFigures:
    calls, tokens = measured.sums[names.CALL_DURATION.name], measured.sums[names.MODEL_TOKENS.name]
    errors = measured.outcomes["error"]
    judged = errors + measured.outcomes["ok"]
    return replace(
        base,
        source="metrics",
        calls=calls.count,
        rate=calls.count / seconds,
        errors=errors,
        error_ratio=errors / judged if judged else 0.0,
        p50=calls.percentile(0.5) or 0.0,
        p95=calls.percentile(0.95) or 0.0,
        p99=calls.percentile(0.99) or 0.0,
        first_output_p95=measured.sums[names.CALL_TIME_TO_FIRST_OUTPUT.name].percentile(0.95),
        queue_p95=measured.sums[names.CALL_QUEUE_DURATION.name].percentile(0.95),
        batch_size=measured.sums[names.MODEL_BATCH_SIZE.name].mean,
        tokens_rate=tokens.total / seconds if tokens.total else None,
        history=tuple(measured.history[part] for part in range(parts)),
    )
