"""Pieces of PromQL: the names of our metrics in Prometheus, selectors, and sums by job and model."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mmtrace import attributes as names
from mmtrace.metrics.prometheus_names import family_name, label_name

ON_MODEL: Final = "on (job, model)"


def series(metric: names.Metric, part: str = "") -> str:
    """Return what a metric is called in Prometheus; `part` of a histogram is bucket, count or sum.

    >>> series(names.CALL_DURATION, "bucket")
    'mmtrace_model_call_duration_seconds_bucket'
    """
    kind = "gauge" if metric.kind == "updown" else metric.kind
    name, _ = family_name(metric.name, metric.unit, kind)
    ending = "total" if kind == "counter" else part
    return f"{name}_{ending}" if ending else name


def number(value: float) -> str:
    """Return a number as PromQL writes it, without an exponent.

    >>> number(300.0), number(0.0025)
    ('300', '0.0025')
    """
    return f"{value:.10f}".rstrip("0").rstrip(".")


def bound(value: float) -> str:
    """Return the matcher of a bucket: whole bounds read `5` where they came by OTLP and `5.0` where they were scraped.

    >>> bound(0.25), bound(5.0)
    ('le="0.25"', 'le=~"5([.]0)?"')
    """
    text = number(value)
    return f'le="{text}"' if "." in text else f'le=~"{text}([.]0)?"'


def one_of(label: str, values: Iterable[str]) -> str:
    """Return the matcher that takes exactly these values of a label."""
    given = sorted(set(values))
    if len(given) == 1:
        return f"{label}={_quoted(given[0])}"
    return f"{label}=~{_quoted('|'.join(map(re.escape, given)))}"


def selector(name: str, *matchers: str) -> str:
    """Return the selector of a metric; empty matchers are left out."""
    given = ",".join(matcher for matcher in matchers if matcher)
    return f"{name}{{{given}}}" if given else name


def grew(name: str, by: str, window: str = "5m") -> str:
    """Return by how much counters grew, those included that appeared within `window` with their first count."""
    return f"sum by ({by}) (increase({name}[{window}])) > 0 or sum by ({by}) ({name} unless {name} offset {window}) > 0"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of models as one histogram counts them; `label` holds the model, `recorded` begins our own series."""

    metric: names.Metric
    label: str
    recorded: str
    outcomes: bool = False

    def count(self, *matchers: str) -> str:
        """Return the selector of the counts of calls."""
        return selector(series(self.metric, "count"), *matchers)

    def bucket(self, *matchers: str) -> str:
        """Return the selector of the buckets."""
        return selector(series(self.metric, "bucket"), *matchers)

    def by_model(self, operator: str, inner: str, *more: str) -> str:
        """Return an aggregation by job and model, and by the labels `more`."""
        labels = ", ".join((*more, "job", "model"))
        return f"{operator} by ({labels}) ({self._with_model(inner)})"

    def _with_model(self, inner: str) -> str:
        if self.label == names.LABEL_MODEL:
            return inner
        return f'label_replace({inner}, "model", "$1", "{self.label}", "(.*)")'


MODEL_CALLS: Final = Calls(names.CALL_DURATION, names.LABEL_MODEL, "mmtrace:model_call", outcomes=True)
API_CALLS: Final = Calls(names.GEN_AI_OPERATION_DURATION, label_name(names.GEN_AI_REQUEST_MODEL), "mmtrace:gen_ai_call")
