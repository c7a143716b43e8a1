"""Alerts on models: latency budgets, percentiles, errors, streams, queues."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from mmtrace import attributes as names
from mmtrace.rules.objectives import MINIMUM_CALLS, Objectives
from mmtrace.rules.promql import API_CALLS, MODEL_CALLS, ON_MODEL, Calls, number, series
from mmtrace.rules.recorded import call_count, call_rate, error_ratio, objective, percentile, slow_ratio
from mmtrace.rules.rule import Alert, Group, Severity


class _Burn(NamedTuple):
    """How fast an error budget of 30 days burns, seen in a long window that says it matters, and a short: still."""

    name: str
    factor: float
    long: str
    short: str
    severity: Severity
    lasting: str


BURNS: Final = (
    _Burn("Fast", 14.4, "1h", "5m", "page", ""),
    _Burn("Soon", 6, "6h", "30m", "page", ""),
    _Burn("Slow", 3, "1d", "2h", "ticket", ""),
    _Burn("Long", 1, "3d", "6h", "ticket", "15m"),
)
"""The pairs of windows of the Site Reliability Workbook (https://sre.google/workbook/alerting-on-slos/), chapter 5."""

_NEARLY_ALL: Final = 0.95
"""A budget so large that a burn rate would need more than all calls to be slow counts as burnt at this share."""


def groups(objectives: Objectives) -> list[Group]:
    """Return the groups of alerts on models."""
    least = number(objectives.minimum_rate)
    return [
        Group("mmtrace-latency-budget", (*_burns(MODEL_CALLS, "MMTrace"), *_burns(API_CALLS, "MMTraceGenAI"))),
        Group(
            "mmtrace-models",
            (
                *_percentiles(MODEL_CALLS, "MMTrace", least),
                *_percentiles(API_CALLS, "MMTraceGenAI", least),
                _errors(least),
                _first_output(least),
                _queue(least),
                _saturation(least),
            ),
        ),
    ]


def _burns(calls: Calls, prefix: str) -> Iterator[Alert]:
    for burn in BURNS:
        limit = f"clamp_max({burn.factor:g} * (1 - {objective(calls, 'target')}), {_NEARLY_ALL})"
        over = [f"{slow_ratio(calls, window)} > {ON_MODEL} {limit}" for window in (burn.long, burn.short)]
        enough = f"{call_count(calls, burn.long)} >= {MINIMUM_CALLS}"
        yield Alert(
            f"{prefix}LatencyBudgetBurn{burn.name}",
            f" and {ON_MODEL} ".join([*over, enough]),
            burn.severity,
            f"{{{{ $labels.model }}}} of {{{{ $labels.job }}}}: {{{{ $value | humanizePercentage }}}} of the calls "
            f"of the last {burn.long} were slow",
            f"The latency budget burns over {burn.factor:g} times as fast as it may, in the last {burn.long} "
            f"and in the last {burn.short}. Exemplars of its panel lead to slow calls: see whether they waited.",
            burn.lasting,
            {"slo": "latency"},
        )


def _percentiles(calls: Calls, prefix: str, least: str) -> Iterator[Alert]:
    for percent in (95, 99):
        yield Alert(
            f"{prefix}P{percent}High",
            f"{percentile(calls, percent)} > {ON_MODEL} {objective(calls, f'p{percent}')} "
            f"and {ON_MODEL} {call_rate(calls)} > {least}",
            "ticket",
            f"{{{{ $labels.model }}}} of {{{{ $labels.job }}}}: {percent} of 100 calls took up to "
            "{{ $value | humanizeDuration }}",
            "Open a trace of a slow call from an exemplar of the latency panel, and compare queue and compute.",
            "5m",
        )


def _errors(least: str) -> Alert:
    return Alert(
        "MMTraceErrorRatioHigh",
        f"{error_ratio()} > {ON_MODEL} {objective(MODEL_CALLS, 'errors')} "
        f"and {ON_MODEL} {call_rate(MODEL_CALLS)} > {least}",
        "page",
        "{{ $labels.model }} of {{ $labels.job }}: {{ $value | humanizePercentage }} of the calls fail",
        "The label error_type of the failed calls says what they fail with; their traces are kept by tail sampling.",
        "5m",
    )


def _first_output(least: str) -> Alert:
    return Alert(
        "MMTraceFirstOutputLate",
        _late(names.CALL_TIME_TO_FIRST_OUTPUT, "first_output", least),
        "ticket",
        "{{ $labels.model }} of {{ $labels.job }}: 95 of 100 streams gave their first output within "
        "{{ $value | humanizeDuration }}",
        "Users wait for the first output. Look at queue time first, then at the length of the inputs.",
        "5m",
    )


def _queue(least: str) -> Alert:
    return Alert(
        "MMTraceQueueTimeHigh",
        _late(names.CALL_QUEUE_DURATION, "queue", least),
        "ticket",
        "{{ $labels.model }} of {{ $labels.job }}: 95 of 100 calls waited up to {{ $value | humanizeDuration }}",
        "More comes than is computed: larger batches, more instances, or fewer callers.",
        "5m",
    )


def _saturation(least: str) -> Alert:
    waited, took = (
        MODEL_CALLS.by_model("sum", f"rate({series(metric, 'sum')}[5m])")
        for metric in (names.CALL_QUEUE_DURATION, names.CALL_DURATION)
    )
    return Alert(
        "MMTraceModelSaturated",
        f"{waited} / {took} > {ON_MODEL} {objective(MODEL_CALLS, 'saturation')} "
        f"and {ON_MODEL} {call_rate(MODEL_CALLS)} > {least}",
        "page",
        "{{ $labels.model }} of {{ $labels.job }}: calls spend {{ $value | humanizePercentage }} of their time waiting",
        "The model cannot keep up. Until it has more room, shed load: what waits longest is what callers give up on.",
        "10m",
    )


def _late(metric: names.Metric, limit: str, least: str) -> str:
    buckets = MODEL_CALLS.by_model("sum", f"rate({series(metric, 'bucket')}[5m])", "le")
    counted = MODEL_CALLS.by_model("sum", f"rate({series(metric, 'count')}[5m])")
    return (
        f"histogram_quantile(0.95, {buckets}) > {ON_MODEL} {objective(MODEL_CALLS, limit)} "
        f"and {ON_MODEL} {counted} > {least}"
    )
