"""The composition root: reads the settings, knows every part, and puts them together.

What is heavy (the SDK, grpc, protobuf, prometheus_client, wrapt) is loaded here by name, when it is needed.
"""

import importlib
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from logging import getLevelName
from signal import SIGTERM, getsignal
from signal import signal as handle
from typing import Any, Final

from mmtrace import attributes as names
from mmtrace._metering import Metering, runtime_metrics
from mmtrace._metering import build as build_metering
from mmtrace._version import __version__
from mmtrace.calls import telemetry
from mmtrace.calls.foreign import ForeignCalls
from mmtrace.calls.telemetry import ContentPolicy, Telemetry
from mmtrace.errors import ConfigurationError
from mmtrace.export.otlp import PROTOCOLS, otlp
from mmtrace.patching.options import Options
from mmtrace.recording import SpanLimits, TracerProvider, facade, guard, uwsgi
from mmtrace.recording.propagation import propagator_from
from mmtrace.recording.sampling import sampler_from
from mmtrace.settings import Settings
from mmtrace.transport import Exporter, FlushResult, Health, Pipeline, Signal, SpanSink
from mmtrace.transport.lane import Spools
from mmtrace.transport.lifetime import Ending

_LOCAL: Final = {
    "console": (("mmtrace.export.console", "Console"), ()),
    "file": (("mmtrace.export.file", "OtlpFile"), ("file",)),
}
_LAST_TRY: Final = 0.5
"""Seconds for the rest of a shutdown where a flush at its begin has met nobody."""
_LONGEST_WAIT: Final = 365 * 86_400.0
_FLUSH: Final = 5.0
_LOG_HANDLERS: Final = {"json": "JsonHandler", "otlp": "OtlpHandler"}


@dataclass(eq=False)
class Parts:
    """What one `configure()` put together."""

    settings: Settings
    provider: TracerProvider
    pipelines: tuple[Pipeline, ...] = ()
    traces: tuple[Pipeline, ...] = ()
    logs: tuple[Pipeline, ...] = ()
    metering: Metering = field(default_factory=Metering)
    closers: list[Callable[[], object]] = field(default_factory=list)

    def each(self, timeout: float, act: Callable[[Pipeline, float], FlushResult]) -> FlushResult:
        """Do `act` with every pipeline within `timeout` seconds in all, and add the results up."""
        deadline = time.monotonic() + timeout
        result = FlushResult()
        for pipeline in self.pipelines:
            result += act(pipeline, max(0.0, deadline - time.monotonic()))
        return result

    def flush(self, timeout: float) -> FlushResult:
        """Deliver what is queued within `timeout` seconds."""
        self.metering.publish()
        return self.each(timeout, lambda pipeline, left: pipeline.flush(left))

    def hurry(self) -> None:
        """Begin to send what waits."""
        for pipeline in self.pipelines:
            pipeline.hurry()

    def shutdown(self, timeout: float) -> FlushResult:
        """Deliver what there is and let go of everything."""
        deadline = time.monotonic() + timeout
        result = self.metering.hand_over(lambda: self.flush(max(0.0, deadline - time.monotonic())))
        rest = max(0.0, deadline - time.monotonic())
        if result.spooled and not result.exported:  # nobody answered: what came meanwhile is kept, and no more
            rest = min(rest, _LAST_TRY)
        result = result.then(self.each(rest, lambda pipeline, left: pipeline.shutdown(left)))
        guard.never_raises(self.metering.close)()
        self.provider.shutdown()
        for close in self.closers:
            guard.never_raises(close)()
        guard.say()
        return result


class _Process:
    """What this process is configured with."""

    lock = threading.RLock()
    arguments: Mapping[str, Any] = {}
    parts: Parts | None = None
    log_sink: Any = None


def configure(**settings: Any) -> None:
    """Record from now on, and send to where the arguments, `MMTRACE_*` or `OTEL_*` variables say.

    Every setting of `mmtrace.settings` is a keyword. A second call adds its arguments to those of the first and starts
    anew with all of them. Raises ConfigurationError for an unknown or wrong setting, with the nearest valid choice,
    and for an argument that contradicts an earlier one.
    """
    with _Process.lock:
        arguments = {**_Process.arguments, **settings}
        _refuse_conflicts(_Process.arguments, settings)
        guard.say()
        guard.forget()
        before, parts = _Process.parts, _build(Settings.load(os.environ, **arguments))
        try:
            _open(parts, before)
            _put_in_place(parts)
        except ConfigurationError:
            parts.shutdown(0)
            if before is not None:
                guard.never_raises(before.metering.open)()
            raise
        _Process.parts, _Process.arguments = parts, arguments
        if before is not None:
            before.shutdown(before.settings.shutdown_timeout)
    guard.say()


def arguments() -> Mapping[str, Any] | None:
    """Return what `configure()` was given until now, or None where it was not called."""
    return None if _Process.parts is None else _Process.arguments


def instrument() -> None:
    """Patch every supported library, imported already or later; never raises for a library that it cannot patch."""
    importlib.import_module("mmtrace.patching.process").instrument(_options(_settings()))


def uninstrument() -> None:
    """Put back everything that `instrument()` patched."""
    importlib.import_module("mmtrace.patching.process").uninstrument()


def flush(timeout: float = _FLUSH) -> FlushResult:
    """Deliver what is queued within `timeout` seconds, and say what became of it: exported, spooled, dropped."""
    parts = _Process.parts
    return FlushResult() if parts is None else parts.flush(_seconds(timeout, _FLUSH))


def metrics_source() -> Any:
    """Return what takes the snapshots that are scraped; None where nothing is configured, or for no such exporter."""
    return None if _Process.parts is None else _Process.parts.metering.source


def destinations() -> dict[str, Health]:
    """Return what became of the spans of this process until now, by where they are sent to."""
    parts = _Process.parts
    return {} if parts is None else {pipeline.where: _health(parts.provider, [pipeline]) for pipeline in parts.traces}


def shutdown(timeout: float | None = None) -> FlushResult:
    """Deliver what is queued within `timeout` seconds (default: the setting `shutdown_timeout`) and stop recording."""
    with _Process.lock:
        parts, _Process.parts, _Process.arguments = _Process.parts, None, {}
    if parts is None:
        return FlushResult()
    facade.install().put(None)
    last = Telemetry(service=parts.settings.service_name, redact=parts.settings.redact)
    telemetry.install(last)  # what is logged to the end says whose it is
    usual = parts.settings.shutdown_timeout
    return parts.shutdown(_seconds(usual if timeout is None else timeout, usual))


def _seconds(timeout: float, usual: float) -> float:
    """Return `timeout` as what locks and sockets can wait: up to a year; `usual` where it is no number."""
    try:
        return min(max(0.0, float(timeout)), _LONGEST_WAIT)
    except (TypeError, ValueError):
        wrong = type(timeout).__name__
        guard.report("timeout", f"mmtrace: a timeout is a number of seconds, not a {wrong}; {usual:g} is used")
        return usual


def _settings() -> Settings:
    return _Process.parts.settings if _Process.parts is not None else Settings.load(os.environ)


def _options(settings: Settings) -> Options:
    return Options(
        enabled=frozenset(settings.instrument) or None,
        disabled=frozenset(settings.disable),
        content=settings.content != "NO_CONTENT",
        carriers=settings.carriers,
        next_genai_names=settings.semconv_genai != "1.41",
    )


def _refuse_conflicts(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for name, value in now.items():
        if name in before and before[name] != value:
            raise ConfigurationError(f"configure() was called with {name}={before[name]!r} before, now with {value!r}")


# --- putting the parts together ---------------------------------------------------------------------------------------


def _build(settings: Settings) -> Parts:
    provider = TracerProvider(
        _resource(settings), _sampler(settings), SpanLimits(**settings.span_limits), redact=settings.redact
    )
    if settings.disabled:
        return Parts(settings, provider)
    by_signal = _pipelines(settings)
    everywhere = (pipeline for pipelines in by_signal.values() for pipeline in pipelines)
    parts = Parts(settings, provider, tuple(dict.fromkeys(everywhere)))
    traces = parts.traces = by_signal[Signal.TRACES]
    parts.logs = by_signal[Signal.LOGS]
    provider.add_span_processor(ForeignCalls())
    if traces:
        provider.add_span_processor(SpanSink(traces))
    parts.metering = build_metering(settings, provider, partial(_health, provider, traces), by_signal[Signal.METRICS])
    return parts


def _sampler(settings: Settings) -> Any:
    sampler = settings.sampler
    return sampler_from(sampler, settings.sampler_arg) if isinstance(sampler, str) else sampler


def _open(parts: Parts, before: Parts | None) -> None:
    """Listen where the settings say, which may be where the configuration before did."""
    if before is not None:
        guard.never_raises(before.metering.step_back)()
    parts.metering.open()


def _put_in_place(parts: Parts) -> None:
    settings = parts.settings
    propagator = propagator_from(settings.propagators)
    propagate = _propagate()
    _watch_this_process(parts)  # these three are the last that may refuse a setting
    propagate.set_global_textmap(propagator)
    front = facade.install()
    front.register_with_sdk()
    front.put(None if settings.disabled else parts.provider)
    content = ContentPolicy(
        on_spans=settings.content in {"SPAN_ONLY", "SPAN_AND_EVENT"},
        on_events=settings.content in {"EVENT_ONLY", "SPAN_AND_EVENT"},
    )
    telemetry.metrics.use_time_buckets(settings.time_buckets)
    exemplars = settings.exemplar_filter != "always_off"
    telemetry.install(Telemetry(telemetry.api_tracer(), content, exemplars, settings.service_name, settings.redact))
    if parts.logs:
        _feed_logs(parts)
    _capture_logs(parts)
    if settings.runtime_metrics and settings.metrics_exporter and not settings.disabled:
        parts.closers.append(runtime_metrics().start())
    _arm(parts)


def _propagate() -> Any:
    """Return the API's module, which reads OTEL_PROPAGATORS when it is imported."""
    try:
        return importlib.import_module("opentelemetry.propagate")
    except ValueError as error:
        raise ConfigurationError(f"the OpenTelemetry API refuses OTEL_PROPAGATORS: {error}") from None


def _arm(parts: Parts) -> None:
    """Let the first model call start the threads that send metrics: sampling may leave every span out."""
    telemetry.at_first_call.clear()
    telemetry.at_first_call.extend([*(pipeline.start for pipeline in parts.pipelines), parts.metering.start])


def _resource(settings: Settings) -> Any:
    """Return the SDK's resource, with what its detectors find, the settings, and this very process."""
    resources = importlib.import_module("opentelemetry.sdk.resources")
    sdk = {names.TELEMETRY_SDK_NAME: names.SCOPE, names.TELEMETRY_SDK_VERSION: __version__}
    return resources.Resource.create({**_of_this_process(), **settings.resource_attributes, **sdk})


def _of_this_process() -> dict[str, Any]:
    return {names.SERVICE_INSTANCE_ID: str(uuid.uuid4()), names.PROCESS_PID: os.getpid()}


def _pipelines(settings: Settings) -> dict[Signal, tuple[Pipeline, ...]]:
    """Return the pipelines of each signal; signals with one kind of destination share its pipeline."""
    found: dict[Signal, tuple[Pipeline, ...]] = dict.fromkeys(Signal, ())
    for signals, exporter, spools in (*_receivers(settings), *_local(settings)):
        pipeline = Pipeline(
            exporter,
            max_queue_bytes=settings.queue_bytes,
            max_queue_items=settings.queue_items,
            max_batch_items=min(settings.batch_items, settings.queue_items),
            max_batch_bytes=settings.batch_bytes,
            schedule_delay=settings.schedule_delay,
            export_timeout=settings.export_timeout,
            spools=spools,
        )
        for signal in signals:
            found[signal] += (pipeline,)
    return found


def _receivers(settings: Settings) -> "Iterator[tuple[list[Signal], Exporter, Spools | None]]":
    for protocol in PROTOCOLS:
        signals = [signal for signal in settings.signals("otlp") if settings.protocol[signal] == protocol]
        if signals:
            targets = {signal: settings.target(signal) for signal in signals}
            yield signals, otlp(protocol, targets), _spools(settings, signals)


def _local(settings: Settings) -> Iterator[tuple[list[Signal], Exporter, None]]:
    for name, (where, arguments) in _LOCAL.items():
        if signals := settings.signals(name):
            yield signals, _load(*where)(*(getattr(settings, argument) for argument in arguments)), None


def _spools(settings: Settings, signals: Sequence[Signal]) -> "Spools | None":
    """Return what keeps `signals` on disk.

    Every snapshot of totals has a successor, the last of a process too, where another process tells its totals.
    """
    folder = settings.spool_folder
    if settings.spool == "off" or folder is None:
        return None
    try:
        spooling = importlib.import_module("mmtrace.transport.spool")
    except ImportError as error:
        guard.report("mmtrace.configure.spool", f"mmtrace: nothing is kept on disk: {error}", error)
        guard.say()
        return None
    limits = {"max_bytes": settings.spool_max_bytes, "max_age": settings.spool_max_age}
    modes = dict.fromkeys(signals, settings.spool)
    if settings.temporality == "cumulative" and Signal.METRICS in modes:
        modes[Signal.METRICS] = "end"
        if settings.metrics_shared:
            del modes[Signal.METRICS]
    return partial(spooling.spool_of, spooling.Folder(folder, **limits), modes)


def _load(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def _health(provider: TracerProvider, traces: Sequence[Pipeline]) -> Health:
    """Return the health of the first destination of spans, with the spans that the sampler left out."""
    health = traces[0].health if traces else Health()
    return replace(health, sampled_out=health.sampled_out + provider.sampled_out)


def _feed_logs(parts: Parts) -> None:
    """Let the records of the LoggerProvider take our transport: a stock one, where the application has set none."""
    api = importlib.import_module("opentelemetry._logs")
    if _Process.log_sink is None:
        if api._internal._LOGGER_PROVIDER is not None:
            return
        logs = importlib.import_module("mmtrace.transport.logs")
        _Process.log_sink = logs.LogSink()
        provider = logs.LoggerProvider(resource=parts.provider.resource, shutdown_on_exit=False)
        provider.add_log_record_processor(_Process.log_sink)
        api.set_logger_provider(provider)
    _Process.log_sink.feed(parts.logs, lambda: parts.provider.resource, parts.settings.redact)
    parts.closers.append(partial(_Process.log_sink.forsake, parts.logs))


def _capture_logs(parts: Parts) -> None:
    """Let the records of the standard library go where the settings say."""
    settings = parts.settings
    wanted = [name for name in settings.log_handlers if name == "json" or parts.pipelines]
    if wanted:
        handlers = [_load("mmtrace.logs.handlers", _LOG_HANDLERS[name])() for name in wanted]
        level = None if settings.log_level is None else getLevelName(settings.log_level)
        parts.closers.append(_load("mmtrace.logs.capture", "capture")(handlers, level=level, alone="json" in wanted))


# --- this process: its forks and its end ------------------------------------------------------------------------------


def _renew() -> None:
    """Be another process in a forked child, and another instance of the service.

    An id that the user set is the user's in children too: the sums of all processes are told under it, once.
    """
    parts = _Process.parts
    _Process.lock = threading.RLock()
    if parts is None:
        return
    before, own = parts.provider.resource, _of_this_process()
    if names.SERVICE_INSTANCE_ID in parts.settings.resource:
        del own[names.SERVICE_INSTANCE_ID]
    parts.provider.replace_resource(type(before)({**before.attributes, **own}, before.schema_url))
    _arm(parts)


def _watch_this_process(parts: Parts) -> None:
    ending = Ending(shutdown, parts.settings.shutdown_timeout, parts.hurry)
    parts.closers.append(ending.cancel)
    if parts.settings.on_sigterm:
        parts.closers.append(_shut_down_on_sigterm())
    _follow_forks()


@cache
def _follow_forks() -> None:
    """Renew every forked child; Python is told last, so that all its parts have started over by then."""
    os.register_at_fork(after_in_child=_renew)
    uwsgi.hear_of_forks()


def _shut_down_on_sigterm() -> Callable[[], object]:
    """Deliver what waits when SIGTERM comes, then let it do what it did before; return what takes this back.

    Raises ConfigurationError where Python allows no handler: outside the main thread.
    """
    try:
        before = getsignal(SIGTERM)
        handle(SIGTERM, lambda number, _frame: _shut_down_and_die(number, before))
    except ValueError as error:
        raise ConfigurationError(f"on_sigterm works in the main thread only: {error}") from error
    return partial(handle, SIGTERM, before)


def _shut_down_and_die(number: int, before: Any) -> None:
    guard.never_raises(shutdown)()
    handle(number, before)
    os.kill(os.getpid(), number)
