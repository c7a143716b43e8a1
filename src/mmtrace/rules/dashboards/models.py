"""The dashboard of models: do they keep their objectives, and if not, do they wait or compute."""

from collections.abc import Iterator
from typing import Final

from mmtrace import attributes as names
from mmtrace.rules.dashboards.grafana import RATE, Choice, Json, Panel, Query, Row, dashboard
from mmtrace.rules.objectives import ApiLimits, Limits, Model, Objectives
from mmtrace.rules.promql import API_CALLS, MODEL_CALLS, Calls, one_of, selector, series
from mmtrace.rules.recorded import call_rate, error_ratio, objective, slow_ratio

_JOB: Final = Choice("job", "job", series(names.CALL_DURATION, "count"))
_MODEL: Final = Choice("model", "model", series(names.CALL_DURATION, "count"), (_JOB.matcher,))
_CHOSEN: Final = (_JOB.matcher, _MODEL.matcher)
_LEGEND: Final = "{{job}} {{model}}"


def models(objectives: Objectives) -> Json:
    """Return the dashboard: what was chosen, in detail, after a row for each service that the objectives name."""
    rows = [
        _overview(),
        *_services(objectives),
        _latency(),
        _why(),
        _outcomes(),
        _apis(),
        _pipelines(),
    ]
    return dashboard(
        "mmtrace-models",
        "mmtrace: models",
        "Latency, errors and waiting of every model, against its objectives. Points on the lines are exemplars: they "
        "lead to the trace of one such call.",
        (_JOB, _MODEL),
        rows,
    )


def _overview() -> Row:
    def chosen(name: str) -> str:
        return selector(name, *_CHOSEN)

    burn = f"{chosen(slow_ratio(MODEL_CALLS, '1h'))} / (1 - {chosen(objective(MODEL_CALLS, 'target'))})"
    return Row(
        "Objectives",
        [
            Panel("Calls a second", [Query(chosen(call_rate(MODEL_CALLS)), _LEGEND)], "reqps"),
            Panel(
                "Slow calls, last hour",
                [Query(chosen(slow_ratio(MODEL_CALLS, "1h")), _LEGEND)],
                "percentunit",
                about="Share of calls over the threshold of their model.",
            ),
            Panel(
                "Burn of the latency budget, last hour",
                [Query(burn, _LEGEND)],
                limit=14.4,
                about="1 uses the budget up in exactly 30 days; 14.4 uses 2 % of it in an hour, and pages.",
            ),
        ],
    )


def _services(objectives: Objectives) -> Iterator[Row]:
    named: list[tuple[Model, Limits | ApiLimits, Calls]] = [
        *((model, limits, MODEL_CALLS) for model, limits in objectives.models.items()),
        *((model, limits, API_CALLS) for model, limits in objectives.api_models.items()),
    ]
    for job in sorted({model.job for model, _, _ in named}):
        panels = [
            panel
            for model, limits, calls in sorted(named, key=lambda each: each[0].name)
            if model.job == job
            for panel in _of_one_model(model, limits, calls)
        ]
        yield Row(job, panels, columns=2)


def _of_one_model(model: Model, limits: Limits | ApiLimits, calls: Calls) -> Iterator[Panel]:
    raw = (one_of("job", [model.job]), one_of(calls.label, [model.name]))
    recorded = (one_of("job", [model.job]), one_of("model", [model.name]))
    yield Panel(
        f"{model.name}: latency",
        [Query(_quantile(calls.metric, share, *raw), name, exemplars=True) for share, name in _QUANTILES],
        "s",
        limit=limits.latency,
        about="The dashed line is the objective.",
    )
    yield Panel(
        f"{model.name}: slow calls",
        [
            Query(selector(slow_ratio(calls, window), *recorded), f"last {window}")
            for window in ("5m", "1h", "6h", "3d")
        ],
        "percentunit",
        limit=round(1 - limits.target, 10),
        about="The dashed line is what the objective allows over 30 days.",
    )


_QUANTILES: Final = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))


def _quantile(metric: names.Metric, share: float, *matchers: str, by: str = "le") -> str:
    buckets = selector(series(metric, "bucket"), *matchers)
    return f"histogram_quantile({share}, sum by ({by}) (rate({buckets}[{RATE}])))"


def _by_model(metric: names.Metric, share: float = 0.95) -> Query:
    return Query(_quantile(metric, share, *_CHOSEN, by="le, job, model"), _LEGEND, exemplars=True)


def _latency() -> Row:
    buckets = selector(series(names.CALL_DURATION, "bucket"), *_CHOSEN)
    limit = Query(selector(objective(MODEL_CALLS, "latency"), *_CHOSEN), f"objective of {_LEGEND}")
    return Row(
        "Latency",
        [
            Panel("95 of 100 calls take less than", [_by_model(names.CALL_DURATION), limit], "s"),
            Panel("99 of 100 calls take less than", [_by_model(names.CALL_DURATION, 0.99), limit], "s"),
            Panel(
                "All durations",
                [Query(f"sum by (le) (increase({buckets}[{RATE}]))", "{{le}}", exemplars=True)],
                kind="heatmap",
            ),
        ],
    )


def _why() -> Row:
    active = selector(series(names.CALLS_ACTIVE), *_CHOSEN)
    batches = _quantile(names.MODEL_BATCH_SIZE, 0.5, *_CHOSEN, by="le, job, model")
    tokens = selector(series(names.MODEL_TOKENS), *_CHOSEN)
    waited, took = (
        f"sum by (job, model) (rate({selector(series(metric, 'sum'), *_CHOSEN)}[{RATE}]))"
        for metric in (names.CALL_QUEUE_DURATION, names.CALL_DURATION)
    )
    return Row(
        "Wait or compute",
        [
            Panel("Wait before compute (p95)", [_by_model(names.CALL_QUEUE_DURATION)], "s"),
            Panel("Share of their time that calls wait", [Query(f"{waited} / {took}", _LEGEND)], "percentunit"),
            Panel("Time on the accelerator (p95)", [_by_model(names.CALL_DEVICE_DURATION)], "s"),
            Panel("First output of a stream (p95)", [_by_model(names.CALL_TIME_TO_FIRST_OUTPUT)], "s"),
            Panel("Each further output (p95)", [_by_model(names.CALL_TIME_PER_OUTPUT)], "s"),
            Panel("Calls that run now", [Query(f"sum by (job, model) ({active})", _LEGEND)]),
            Panel("Requests of a batch (median)", [Query(batches, _LEGEND)]),
            Panel(
                "Tokens a second",
                [Query(f"sum by (job, model, direction) (rate({tokens}[{RATE}]))", f"{_LEGEND} {{{{direction}}}}")],
            ),
        ],
    )


def _outcomes() -> Row:
    calls = series(names.CALL_DURATION, "count")
    failed = selector(calls, one_of(names.LABEL_OUTCOME, ["error"]), *_CHOSEN)
    ended = selector(calls, *_CHOSEN)
    return Row(
        "Outcomes",
        [
            Panel("Share of calls that fail", [Query(selector(error_ratio(), *_CHOSEN), _LEGEND)], "percentunit"),
            Panel(
                "Failed calls a second",
                [Query(f"sum by (job, model, error_type) (rate({failed}[{RATE}]))", f"{_LEGEND} {{{{error_type}}}}")],
                "reqps",
            ),
            Panel(
                "Calls a second by outcome",
                [Query(f"sum by (outcome) (rate({ended}[{RATE}]))", "{{outcome}}")],
                "reqps",
            ),
        ],
    )


def _apis() -> Row:
    def recorded(name: str) -> Query:
        return Query(selector(name, _JOB.matcher), _LEGEND)

    label = API_CALLS.label
    return Row(
        "Models behind an API",
        [
            Panel("Calls a second", [recorded(call_rate(API_CALLS))], "reqps"),
            Panel(
                "95 of 100 calls take less than",
                [
                    Query(
                        _quantile(API_CALLS.metric, 0.95, _JOB.matcher, by=f"le, job, {label}"),
                        f"{{{{job}}}} {{{{{label}}}}}",
                        exemplars=True,
                    )
                ],
                "s",
            ),
            Panel("Slow calls, last hour", [recorded(slow_ratio(API_CALLS, "1h"))], "percentunit"),
        ],
    )


def _pipelines() -> Row:
    ended = selector(series(names.PIPELINE_DURATION, "count"), _JOB.matcher)
    return Row(
        "Pipelines",
        [
            Panel(
                "95 of 100 take less than",
                [
                    Query(
                        _quantile(names.PIPELINE_DURATION, 0.95, _JOB.matcher, by="le, job, pipeline"),
                        "{{job}} {{pipeline}}",
                        exemplars=True,
                    )
                ],
                "s",
            ),
            Panel(
                "Pipelines a second by outcome",
                [Query(f"sum by (job, pipeline, outcome) (rate({ended}[{RATE}]))", "{{pipeline}} {{outcome}}")],
                "reqps",
            ),
        ],
        columns=2,
    )
