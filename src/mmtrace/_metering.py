"""Puts the parts of metrics together: what this process measures, with whom it shares that, and who is told."""

import contextlib
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from mmtrace import attributes as names
from mmtrace._version import __version__
from mmtrace.calls import telemetry
from mmtrace.recording import TracerProvider, guard
from mmtrace.settings import Settings
from mmtrace.transport import FlushResult, Health, Pipeline, Signal

_KEPT_FOR_A_RECEIVER: Final = 3600.0
"""Seconds for which counters that are pushed go on after the last process has ended."""


@dataclass(eq=False)
class Metering:
    """The metrics of one `configure()`.

    `source` takes the snapshots that are scraped: of all processes, where there is a `speaker`, else of this one.
    `listen` starts the Prometheus endpoint for a source, where one is wanted.
    """

    source: Any = None
    speaker: Any = None
    listen: Callable[[Any], Any] | None = None
    pushes: bool = False
    closers: list[Callable[[], object]] = field(default_factory=list)
    _server: Any = None

    def open(self) -> None:
        """Answer scrapes. Raises ConfigurationError where a foreign program has the port."""
        if self.listen is not None:
            if self.speaker is not None:
                self.speaker.open()
            else:
                self._server = self.listen(self.source)

    def start(self) -> None:
        """Look at the other processes from now on, in a thread."""
        if self.speaker is not None:
            self.speaker.start()

    def publish(self) -> None:
        """Let the other processes see what this one has measured; where it pushes, every flush does that."""
        if self.speaker is not None and not self.pushes:
            guard.never_raises(self.speaker.publish)()

    def hand_over(self, flush: Callable[[], FlushResult]) -> FlushResult:
        """Deliver by `flush`, then let another process speak."""
        return FlushResult() if self.speaker is None else self.speaker.hand_over(flush)

    def step_back(self) -> None:
        """Free the port, for another configuration of this process; `open` takes it again."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        if self.speaker is not None:
            self.speaker.step_back()

    def close(self) -> None:
        """Let go of the port, of the folder, and of the application's MeterProvider."""
        if self._server is not None:
            self._server.close()
        if self.speaker is not None:
            self.speaker.close()
        for close in self.closers:
            guard.never_raises(close)()


def build(
    settings: Settings, provider: TracerProvider, health: Callable[[], Health], pipelines: Sequence[Pipeline]
) -> Metering:
    """Return what the settings ask for, not yet opened; `health` tells what became of spans."""
    return _Builder(settings, provider, health, pipelines).build()


@dataclass
class _Builder:
    settings: Settings
    provider: TracerProvider
    health: Callable[[], Health]
    pipelines: Sequence[Pipeline]
    made: Metering = field(default_factory=Metering)
    readers: list[Any] = field(default_factory=list)

    def build(self) -> Metering:
        pushed = self.pipelines if self.settings.temporality == "cumulative" else ()
        if pushed or {"prometheus", "app"}.intersection(self.settings.metrics_exporter):
            self._add_totals(pushed)
        for pipeline in self.pipelines:
            push = self._push_totals(pipeline) if pushed else self._push_growth(pipeline)
            pipeline.every(self.settings.metric_interval, push)
        if self.readers:
            self._put_meter_provider()
        return self.made

    def _add_totals(self, pushed: Sequence[Pipeline]) -> None:
        settings, made = self.settings, self.made
        made.pushes = bool(pushed)
        made.source = self._snapshots("cumulative", pushed)
        if "prometheus" in settings.metrics_exporter:
            made.listen = partial(_listen, host=settings.prometheus_host, port=settings.prometheus_port)
        if settings.metrics_shared:
            made.source = made.speaker = self._speaker(made.source, pushed)

    def _speaker(self, own: Any, pushed: Sequence[Pipeline]) -> Any:
        keep = _KEPT_FOR_A_RECEIVER if pushed else 0.0
        group = _group(self.settings, self.provider.resource.attributes, pushes=bool(pushed))
        folder = _load("mmtrace.metrics.shared.folder", "Folder")(self.settings.metrics_dir, group, keep=keep)
        instance = str(self.settings.resource.get(names.SERVICE_INSTANCE_ID, ""))
        return _load("mmtrace.export.speaker", "Speaker")(own, folder, instance=instance, listen=self.made.listen)

    def _push_totals(self, pipeline: Pipeline) -> Callable[[], object]:
        if self.made.speaker is not None:
            return partial(self.made.speaker.push, pipeline)
        return partial(_push, pipeline, self.made.source)

    def _push_growth(self, pipeline: Pipeline) -> Callable[[], object]:
        return partial(_push, pipeline, self._snapshots(self.settings.temporality, [pipeline]))

    def _snapshots(self, preference: str, flushed: Sequence[Pipeline]) -> Any:
        reader = _load("mmtrace.metrics.reader", "OnDemandReader")(
            preference,
            exponential=self.settings.histogram_aggregation.startswith("base2"),
            timeout=self.settings.metric_timeout,
            on_flush=partial(_are_delivered, flushed),
        )
        self.readers.append(reader)
        return _load("mmtrace.metrics.snapshot", "Snapshots")(
            telemetry.metrics,
            reader,
            resource=lambda: self.provider.resource,
            health=self.health,
            extra=[runtime_metrics().collect] if self.settings.runtime_metrics else (),
            preference=preference,
            version=__version__,
        )

    def _put_meter_provider(self) -> None:
        """Install a stock MeterProvider with our readers, or add them to the one that the application has set."""
        api = importlib.import_module("opentelemetry.metrics")
        existing = api._internal._METER_PROVIDER
        if existing is None:
            _Stock.examples = _load("mmtrace.metrics.exemplar_filter", "ExchangeableExemplarFilter")()
            make = _load("mmtrace.metrics.provider", "MeterProvider")
            stock = make(
                self.readers, resource=self.provider.resource, exemplar_filter=_Stock.examples, shutdown_on_exit=False
            )
            api.set_meter_provider(stock)
        else:
            for reader in self.readers:
                with contextlib.suppress(AttributeError):
                    existing.add_metric_reader(reader)
                    self.made.closers.append(partial(existing.remove_metric_reader, reader))
        if _Stock.examples is not None:
            self.made.closers.append(_Stock.examples.choose(self.settings.exemplar_filter))


class _Stock:
    """The MeterProvider that was installed where there was none: it stays for as long as the process."""

    examples: Any = None


def runtime_metrics() -> Any:
    """Return what is measured of the process itself."""
    return _load("mmtrace.runtime_metrics.measuring", "runtime_metrics")


def _group(settings: Settings, resource: Any, *, pushes: bool) -> str:
    """Return the name of the folder for processes that say the same of themselves, in the same place, to the same."""
    of_service = _load("mmtrace.metrics.snapshot", "service_attributes")
    scraped = "prometheus" in settings.metrics_exporter
    told = {
        "resource": sorted((key, str(value)) for key, value in of_service(resource).items()),
        "instance": settings.resource.get(names.SERVICE_INSTANCE_ID),
        "port": [settings.prometheus_host, settings.prometheus_port] if scraped else [],
        "receivers": [*settings.metrics_exporter, settings.target(Signal.METRICS).url, settings.file] if pushes else [],
        "buckets": settings.histogram_aggregation,
    }
    name: str = _load("mmtrace.metrics.shared.naming", "group_name")(settings.service_name, told)
    return name


def _listen(source: Any, host: str, port: int) -> Any:
    return _load("mmtrace.export.prometheus", "PrometheusServer")(source, host, port)


def _are_delivered(pipelines: Sequence[Pipeline], timeout: float) -> bool:
    """Flush within `timeout` seconds each; whether nothing waits any more."""
    return sum(pipeline.flush(timeout).waiting for pipeline in pipelines) == 0


def _push(pipeline: Pipeline, snapshots: Any) -> None:
    for body, count in _load("mmtrace.metrics.encode", "requests")(snapshots.collect()):
        pipeline.add(Signal.METRICS, None, body, count)


def _load(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)
