"""The series that rules and dashboards share: the limits of each model, and how its calls keep them.

A limit is recorded as a series of its own, with `job` and `model`, so that one alert serves models of any limit and a
dashboard draws the line that the alert goes by.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Final

from mmtrace import attributes as names
from mmtrace.rules.objectives import ApiLimits, Limits, Model, Objectives
from mmtrace.rules.promql import API_CALLS, MODEL_CALLS, ON_MODEL, Calls, bound, number, one_of
from mmtrace.rules.rule import Group, Recording

SHORT_WINDOWS: Final = ("5m", "30m", "1h", "2h")
LONG_WINDOWS: Final = ("6h", "1d", "3d")
COUNTED_WINDOWS: Final = ("1h", "6h", "1d", "3d")
"""Windows for which the number of calls is kept as well."""

_CANCELLED: Final = one_of(names.LABEL_OUTCOME, ["cancelled"])
_FAILED: Final = one_of(names.LABEL_OUTCOME, ["error"])
_JUDGED: Final = one_of(names.LABEL_OUTCOME, ["ok", "error"])


def objective(calls: Calls, name: str) -> str:
    """Return the name of the series that holds a limit of each model."""
    return f"{calls.recorded}:objective_{name}"


def slow_ratio(calls: Calls, window: str) -> str:
    """Return the name of the series that holds the share of slow calls."""
    return f"{calls.recorded}_slow:ratio_rate{window}"


def call_count(calls: Calls, window: str) -> str:
    """Return the name of the series that holds the number of calls in a window."""
    return f"{calls.recorded}:increase{window}"


def call_rate(calls: Calls) -> str:
    """Return the name of the series that holds the calls a second."""
    return f"{calls.recorded}:rate5m"


def percentile(calls: Calls, percent: int) -> str:
    """Return the name of the series that holds a percentile of the duration, in seconds."""
    return f"{calls.recorded}_duration_seconds:p{percent}_5m"


def error_ratio() -> str:
    """Return the name of the series that holds the share of calls that failed."""
    return f"{MODEL_CALLS.recorded}_error:ratio_rate5m"


def groups(objectives: Objectives) -> list[Group]:
    """Return the groups that record everything."""
    models = (MODEL_CALLS, objectives.models, objectives.model_defaults)
    apis = (API_CALLS, objectives.api_models, objectives.api_defaults)
    return [
        Group("mmtrace-objectives", (*_objectives(*models), *_objectives(*apis))),
        Group("mmtrace-calls", (*_now(MODEL_CALLS), *_now(API_CALLS), _errors())),
        Group("mmtrace-latency-short", (*_slow(*models, SHORT_WINDOWS), *_slow(*apis, SHORT_WINDOWS))),
        Group("mmtrace-latency-long", (*_slow(*models, LONG_WINDOWS), *_slow(*apis, LONG_WINDOWS)), interval="2m"),
    ]


def _objectives(
    calls: Calls, named: Mapping[Model, Limits | ApiLimits], default: Limits | ApiLimits
) -> Iterator[Recording]:
    for column in fields(default):
        usual = getattr(default, column.name)
        others: dict[float, list[Model]] = {}
        for model, limits in named.items():
            value = getattr(limits, column.name)
            if value != usual:
                others.setdefault(value, []).append(model)
        parts = [f"{_present(calls, models)} * {number(value)}" for value, models in sorted(others.items())]
        parts.append(f"{_present(calls, ())} * {number(usual)}")
        yield Recording(objective(calls, column.name), _either(parts))


def _present(calls: Calls, models: Iterable[Model]) -> str:
    """Return 1 for each of these models that Prometheus knows; where none is given, for every one."""
    by_job: dict[str, list[str]] = {}
    for model in models:
        by_job.setdefault(model.job, []).append(model.name)
    selected = [
        calls.count(one_of("job", [job]), one_of(calls.label, of_job)) for job, of_job in sorted(by_job.items())
    ]
    return calls.by_model("group", " or ".join(selected or [calls.count()]))


def _either(parts: Iterable[str]) -> str:
    """Return the first of these that there is, for each model."""
    return "\nor\n".join(parts)


def _now(calls: Calls) -> Iterator[Recording]:
    yield Recording(call_rate(calls), calls.by_model("sum", f"rate({calls.count()}[5m])"))
    for percent in (95, 99):
        buckets = calls.by_model("sum", f"rate({calls.bucket()}[5m])", "le")
        yield Recording(percentile(calls, percent), f"histogram_quantile({percent / 100}, {buckets})")


def _errors() -> Recording:
    def rate(matcher: str) -> str:
        return MODEL_CALLS.by_model("sum", f"rate({MODEL_CALLS.count(matcher)}[5m])")

    return Recording(error_ratio(), f"{rate(_FAILED)} / {rate(_JUDGED)}")


def _slow(
    calls: Calls,
    named: Mapping[Model, Limits | ApiLimits],
    default: Limits | ApiLimits,
    windows: tuple[str, ...],
) -> Iterator[Recording]:
    """Yield the share of slow calls: once for each threshold, of the models that have it."""
    by_threshold: dict[float, list[Model]] = {default.latency: []}
    for model, limits in named.items():
        by_threshold.setdefault(limits.latency, []).append(model)
    for window in windows:
        parts = []
        for threshold, models in sorted(by_threshold.items()):
            chosen = models if threshold != default.latency else []
            held = f"{ON_MODEL} {objective(calls, 'latency')} == {number(threshold)}"
            parts.append(f"{_ratio(calls, threshold, chosen, window)} and {held}")
        yield Recording(slow_ratio(calls, window), _either(parts))
        if window in COUNTED_WINDOWS:
            counted = f"increase({calls.count()}[{window}])"
            yield Recording(call_count(calls, window), calls.by_model("sum", counted))


def _ratio(calls: Calls, threshold: float, models: list[Model], window: str) -> str:
    """Return the share of calls over the threshold.

    A call that was cancelled before the threshold says nothing and is left out; one that was cancelled after it was
    slow: callers that give up must not hide that they had to.
    """
    matchers: tuple[str, ...] = ()
    if models:
        matchers = (
            one_of("job", (model.job for model in models)),
            one_of(calls.label, (model.name for model in models)),
        )

    def rate(series: str) -> str:
        return calls.by_model("sum", f"rate({series}[{window}])")

    every = rate(calls.count(*matchers))
    fast = rate(calls.bucket(bound(threshold), *matchers))
    if not calls.outcomes:
        return f"({every} - {fast}) / {every}"
    given_up = rate(calls.bucket(bound(threshold), _CANCELLED, *matchers))
    return f"({every} - {fast}) / ({every} - ({given_up} or {every} * 0))"
