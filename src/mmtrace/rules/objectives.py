"""What a user wants of models and processes, as values; times in seconds, shares from 0 to 1."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

MINIMUM_CALLS: Final = 10
"""Calls in the long window of an error budget below which its alerts stay silent."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the calls of one model should keep.

    Args:
        latency: a call that takes longer is slow; a bound of the histogram's buckets.
        target: share of the calls that must not be slow, over 30 days.
        p95: 95 of 100 calls take less.
        p99: 99 of 100 calls take less.
        errors: share of the calls that may fail; cancelled ones do not count.
        first_output: 95 of 100 streams give their first output sooner.
        queue: 95 of 100 calls wait less before they are computed.
        saturation: share of the time of calls that may be spent waiting.
    """

    latency: float = 2.5
    target: float = 0.95
    p95: float = 2.5
    p99: float = 5.0
    errors: float = 0.05
    first_output: float = 1.0
    queue: float = 0.5
    saturation: float = 0.5


@dataclass(frozen=True, slots=True)
class ApiLimits:
    """What the calls of one model behind an API should keep, as clients of GenAI measure it; see `Limits`."""

    latency: float = 10.24
    target: float = 0.95
    p95: float = 10.0
    p99: float = 30.0


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """What every process should keep.

    Args:
        memory: share of the memory that the cgroup allows.
        gc_pause: longest pause for garbage collection; a bound of the histogram's buckets.
        gpu_memory: share of the memory of a GPU.
    """

    memory: float = 0.9
    gc_pause: float = 0.1
    gpu_memory: float = 0.95


@dataclass(frozen=True, slots=True)
class Model:
    """A model of a service, by the values that `job` and the label of the model have in Prometheus."""

    job: str
    name: str


@dataclass(frozen=True, slots=True)
class Objectives:
    """Limits of every model: of those that are named, and the defaults for all others.

    Args:
        minimum_rate: calls a second below which a percentile or a ratio says nothing.
        latency_buckets: bounds that the services add to their histograms by the setting of the same name.
        process: limits of every process.
        model_defaults: limits of models that are not named.
        api_defaults: limits of models behind an API that are not named.
        models: limits of named models.
        api_models: limits of named models behind an API.
    """

    minimum_rate: float = 0.1
    latency_buckets: tuple[float, ...] = ()
    process: ProcessLimits = ProcessLimits()
    model_defaults: Limits = Limits()
    api_defaults: ApiLimits = ApiLimits()
    models: Mapping[Model, Limits] = field(default_factory=dict)
    api_models: Mapping[Model, ApiLimits] = field(default_factory=dict)
