"""One snapshot of every metric of this process: ours, and what the application's MeterProvider holds.

Its value types are those of the OpenTelemetry SDK, so that its renderings, OTLP and Prometheus, take any metric.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from opentelemetry.sdk.metrics.export import Metric, MetricsData, ResourceMetrics, ScopeMetrics
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.util.types import AttributeValue

from mmtrace import attributes as names
from mmtrace.metrics.aggregator import ModelMetrics
from mmtrace.metrics.points import Health, of_pipeline, of_readings
from mmtrace.metrics.reader import OnDemandReader
from mmtrace.metrics.temporality import Deltas, Preference
from mmtrace.recording.forks import at_fork
from mmtrace.recording.guard import report


class ResourceLike(Protocol):
    """What tells which service and process this is: the SDK's Resource, or one like it."""

    @property
    def attributes(self) -> Mapping[str, AttributeValue]:
        """The service and the process."""
        ...

    @property
    def schema_url(self) -> str:
        """The schema of the attributes."""
        ...


class Snapshots:
    """Takes snapshots for one receiver; each receiver of another temporality needs its own, with its own reader.

    Args:
        model_metrics: the aggregates of model calls.
        reader: on the application's MeterProvider, or None where there is none.
        resource: tells which service and process this is; it is asked each time, because a fork changes it.
        health: tells how the pipeline fares.
        extra: more metrics of mmtrace's own scope, as totals.
        preference: whether counters and histograms are totals or growth since the last snapshot.
        version: of mmtrace.
    """

    def __init__(
        self,
        model_metrics: ModelMetrics,
        reader: OnDemandReader | None = None,
        *,
        resource: Callable[[], ResourceLike],
        health: Callable[[], Health] | None = None,
        extra: Sequence[Callable[[], Iterable[Metric]]] = (),
        preference: Preference = "cumulative",
        version: str = "",
    ) -> None:
        self._model_metrics = model_metrics
        self._reader = reader
        self._resource = resource
        self._health = health
        self._extra = extra
        self._preference = preference
        self._scope = InstrumentationScope(names.SCOPE, version, names.SCHEMA_URL)
        self.has_totals = True
        """Whether calls and `extra` are in it; not where another configuration of this process tells of them."""
        self.start_over()
        at_fork(self, in_child=Snapshots.start_over)

    def start_over(self) -> None:
        """Forget what the last snapshot was, and who holds the lock."""
        self._lock = threading.RLock()
        self._collecting = False
        self._last_foreign: Sequence[ResourceMetrics] = ()
        self._deltas = Deltas()
        self._observed_deltas = Deltas()

    def collect(self) -> MetricsData:
        """Return every metric there is; never raises.

        A finalizer that asks for a snapshot while one is taken in its thread gets an empty one.
        """
        with self._lock:
            if self._collecting:
                return MetricsData([])
            self._collecting = True
            try:
                return self._snapshot()
            finally:
                self._collecting = False

    def _snapshot(self) -> MetricsData:
        given = self._resource()
        resource = Resource(dict(given.attributes), given.schema_url)
        own = ScopeMetrics(self._scope, self._own(time.time_ns()), self._scope.schema_url or "")
        foreign = (_of_this_process(part, resource) for part in self._foreign())
        return _merged([ResourceMetrics(resource, [own], resource.schema_url), *foreign])

    def _own(self, now: int) -> list[Metric]:
        start = self._model_metrics.start_time
        metrics = [*of_readings(self._model_metrics.read(), start, now), *self._extras()] if self.has_totals else []
        observed = list(of_pipeline(self._health(), start, now)) if self._health else []
        if self._preference != "cumulative":
            metrics = self._deltas.of(metrics)
        if self._preference == "delta":
            observed = self._observed_deltas.of(observed)
        return metrics + observed

    def _extras(self) -> Iterator[Metric]:
        for source in self._extra:
            try:
                yield from source()
            except Exception as error:  # noqa: PERF203  # one source that fails must not take the others with it
                report("metrics.extra", f"mmtrace: some metrics cannot be collected: {error!r}", error)

    def _foreign(self) -> Sequence[ResourceMetrics]:
        """Return the metrics of the MeterProvider; where they cannot be collected, totals stay what they were."""
        try:
            data = self._reader.read() if self._reader else None
        except Exception as error:
            report("metrics.reader", f"mmtrace: the metrics of the MeterProvider cannot be collected: {error!r}", error)
            return self._last_foreign if self._preference == "cumulative" else ()
        self._last_foreign = data.resource_metrics if data else ()
        return self._last_foreign


def service_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a resource that all processes of the service have in common."""
    return {key: value for key, value in attributes.items() if not _is_of_process(key)}


def _is_of_process(key: str) -> bool:
    return key == names.SERVICE_INSTANCE_ID or (key.startswith("process.") and not key.startswith("process.runtime."))


def _of_this_process(part: ResourceMetrics, resource: Resource) -> ResourceMetrics:
    """Return `part` as of this process: a MeterProvider that was forked still says what its parent was."""
    same = service_attributes(part.resource.attributes) == service_attributes(resource.attributes)
    return replace(part, resource=resource, schema_url=resource.schema_url) if same else part


def _merged(parts: Iterable[ResourceMetrics]) -> MetricsData:
    """Return `parts` with equal resources, and in them equal scopes, joined: receivers and encoders key by both."""
    by_resource: dict[Resource, list[ResourceMetrics]] = {}
    for part in parts:
        by_resource.setdefault(part.resource, []).append(part)
    return MetricsData([_of_one_resource(equal) for equal in by_resource.values()])


def _of_one_resource(parts: Sequence[ResourceMetrics]) -> ResourceMetrics:
    by_scope: dict[InstrumentationScope, list[ScopeMetrics]] = {}
    for part in parts:
        for scope in part.scope_metrics:
            by_scope.setdefault(scope.scope, []).append(scope)
    scopes = [
        replace(equal[0], metrics=[metric for scope in equal for metric in scope.metrics])
        for equal in by_scope.values()
    ]
    return replace(parts[0], scope_metrics=[scope for scope in scopes if scope.metrics])
