"""What a running Prometheus has seen: its jobs and models, and how long their calls took.

Source: https://prometheus.io/docs/prometheus/latest/querying/api/
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import urllib3
from urllib3.util import parse_url

from mmtrace import attributes as names
from mmtrace.errors import CommandError
from mmtrace.rules.objectives import ApiLimits, Limits, Model, Objectives
from mmtrace.rules.promql import API_CALLS, MODEL_CALLS, Calls

_WINDOW: Final = "1d"
_KEPT: Final = 0.99
"""Share of the calls of the last day that a proposed threshold lets pass."""


@dataclass(frozen=True, slots=True)
class Durations:
    """Bounds in seconds, in ascending order, and how many calls of the last day took up to each; of all calls last."""

    bounds: tuple[float, ...]
    counts: tuple[float, ...]

    def kept_by(self, share: float) -> float | None:
        """Return the lowest bound that `share` of the calls kept; None where there were no calls to judge by."""
        if not self.counts or not self.counts[-1] > 0:
            return None
        enough = share * self.counts[-1]
        finite = zip(self.bounds, self.counts, strict=False)
        return next((bound for bound, count in finite if count >= enough), self.bounds[-1])


@dataclass(frozen=True, slots=True)
class Seen:
    """Every model that Prometheus has seen in the last day: of mmtrace's metric, and of GenAI clients."""

    models: Mapping[Model, Durations]
    api_models: Mapping[Model, Durations]

    def of(self, kind: str) -> Mapping[Model, Durations]:
        """Return the models of one kind: `models` or `gen_ai`."""
        return self.api_models if kind == "gen_ai" else self.models


def ask(url: str) -> Seen:
    """Return what the Prometheus at `url` has seen.

    Raises CommandError where it cannot be asked, or has seen no call of a model.
    """
    seen = Seen(_durations(url, MODEL_CALLS), _durations(url, API_CALLS))
    if not seen.models and not seen.api_models:
        raise CommandError(f"{url} has seen no call of a model in the last day; does it receive metrics of mmtrace?")
    return seen


def proposed(seen: Seen) -> Objectives:
    """Return objectives for what was seen: thresholds that 99 of 100 calls of the last day kept."""
    models, apis = Limits(), ApiLimits()
    return Objectives(
        models={
            model: Limits(latency=kept, p95=kept, p99=2 * kept)
            for model, durations in seen.models.items()
            if (kept := durations.kept_by(_KEPT) or models.latency)
        },
        api_models={
            model: ApiLimits(latency=kept, p95=kept, p99=2 * kept)
            for model, durations in seen.api_models.items()
            if (kept := durations.kept_by(_KEPT) or apis.latency)
        },
        latency_buckets=_added_bounds(seen),
    )


def _added_bounds(seen: Seen) -> tuple[float, ...]:
    found = {bound for durations in seen.models.values() for bound in durations.bounds}
    return tuple(sorted(found - set(names.TIME_BUCKETS)))


def _durations(url: str, calls: Calls) -> dict[Model, Durations]:
    buckets = f"{calls.bucket()}[{_WINDOW}]"
    query = calls.by_model("sum", f"increase({buckets}) or last_over_time({buckets}) * 0", "le")
    by_model: dict[Model, dict[float, float]] = {}
    for sample in _query(url, query):
        labels = sample["metric"]
        if labels.get("model"):
            counts = by_model.setdefault(Model(labels.get("job", ""), labels["model"]), {})
            counts[float(labels["le"])] = counts.get(float(labels["le"]), 0.0) + float(sample["value"][1])
    return {
        model: Durations(tuple(sorted(counts))[:-1], tuple(counts[bound] for bound in sorted(counts)))
        for model, counts in sorted(by_model.items(), key=lambda item: (item[0].job, item[0].name))
    }


def _query(url: str, query: str) -> list[Any]:
    """Return the samples of an instant query."""
    if not url.startswith(("http://", "https://")):
        raise CommandError(f"{url!r} is no address; give one such as http://localhost:9090", 2)
    try:
        status, body = _post(url, query)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise CommandError(f"{url} cannot be asked: {error}") from None
    try:
        told = json.loads(body)
        return list(told["data"]["result"]) if status == 200 else _refused(url, told["error"])
    except (ValueError, KeyError, TypeError):
        raise CommandError(f"{url} does not answer as Prometheus does (HTTP {status})") from None


def _post(url: str, query: str) -> tuple[int, bytes]:
    where = parse_url(url)
    plain = where._replace(auth=None, path=(where.path or "").rstrip("/") + "/api/v1/query", query=None, fragment=None)
    headers = urllib3.make_headers(basic_auth=where.auth) if where.auth else {}
    with urllib3.PoolManager(timeout=urllib3.Timeout(30), retries=False) as pool:
        answer = pool.request("POST", plain.url, fields={"query": query}, headers=headers, encode_multipart=False)
        return answer.status, answer.data


def _refused(url: str, reason: str) -> NoReturn:
    raise CommandError(f"{url} refuses to answer: {reason}")
