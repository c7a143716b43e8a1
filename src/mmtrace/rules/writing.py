"""Objectives as YAML, in the form that `reading` takes."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

import yaml

from mmtrace.rules.objectives import ApiLimits, Limits, Model, Objectives

_HEAD: Final = """\
# Objectives, proposed from what Prometheus has seen: 99 of 100 calls of the last day kept them.
# Change them to what your users need; `mmtrace rules --help` explains every key.
"""


def objectives_file(objectives: Objectives) -> str:
    """Return the text of an objectives file that names every model, with the limits that differ from the defaults."""
    services: dict[str, dict[str, dict[str, Any]]] = {}
    _add(services, "models", objectives.models, objectives.model_defaults)
    _add(services, "gen_ai", objectives.api_models, objectives.api_defaults)
    buckets = {"latency_buckets": list(objectives.latency_buckets)} if objectives.latency_buckets else {}
    data = {**buckets, "services": services}
    return _HEAD + yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)


def _add(
    services: dict[str, dict[str, dict[str, Any]]],
    kind: str,
    named: Mapping[Model, Limits | ApiLimits],
    default: Limits | ApiLimits,
) -> None:
    for model, limits in named.items():
        values = {column.name: getattr(limits, column.name) for column in fields(limits)}
        chosen = {name: value for name, value in values.items() if name == "latency" or value != getattr(default, name)}
        services.setdefault(model.job, {}).setdefault(kind, {})[model.name] = chosen
