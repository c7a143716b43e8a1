"""The same telemetry made by mmtrace, by the stock SDK and by its peers: one call of a model in each state.

All record a span with six attributes, a histogram of the duration, a histogram of the batch size, an up-down counter
of the calls that run, and a counter of tokens in and of tokens out. All are configured by variables. The peers have no
metrics of their own and take the stock SDK's, as their documentation says: fastotel replaces the stock span processor
and exporter, ddtrace the spans and their export (as OTLP, to the same receiver).
"""

import os
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

SIX = (
    "mmtrace.model.name",
    "mmtrace.model.task",
    "mmtrace.batch.size",
    "mmtrace.input.tokens",
    "mmtrace.output.tokens",
    "mmtrace.outcome",
)
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
LABELS = {"model": "reader", "version": "", "task": "infer", "framework": ""}
STATES = ("no-op", "sampled out", "recording", "exporting")


class Side(NamedTuple):
    """One side in one state: a call of a model, and what sends all that waits.

    `lost` and `spooled` are the side's own counts of spans that it gave up, and that it keeps on disk.
    """

    name: str
    call: Callable[[], object]
    flush: Callable[[], object]
    lost: Callable[[], int] = lambda: 0
    spooled: Callable[[], int] = lambda: 0


def environment(side, state, endpoint, service):
    """Return the variables that put a process of `side` into `state`."""
    exporter = "otlp" if state in {"sampled out", "exporting"} else "none"
    return {
        "OTEL_SERVICE_NAME": service,
        "OTEL_TRACES_EXPORTER": "otlp" if side == "ddtrace" else exporter,
        "OTEL_METRICS_EXPORTER": exporter,
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_TRACES_SAMPLER": "parentbased_always_off" if state == "sampled out" else "parentbased_always_on",
        "DD_TRACE_ENABLED": "false" if state == "no-op" else "true",
        "DD_TRACE_RATE_LIMIT": "-1",
        "DD_TRACE_PROPAGATION_STYLE": "tracecontext,baggage",
        "DD_REMOTE_CONFIGURATION_ENABLED": "false",
        "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    }


def untraced(state):
    """Return a call that records nothing."""

    def call():
        pass

    return Side("untraced", call, call)


def ours(state):
    """Return a call recorded by mmtrace's verbs."""
    import mmtrace
    from mmtrace._configure import _Process

    if state != "no-op":
        mmtrace.configure()
    pipelines = () if state == "no-op" else _Process.parts.traces  # shutdown() forgets them

    def call():
        with mmtrace.model_call("reader", batch_size=8) as model_call:
            model_call.set(input_tokens=512, output_tokens=64)

    def flush():
        if state != "no-op":
            mmtrace.flush(timeout=30)

    def lost():
        return sum(sum(pipeline.health.dropped.values()) for pipeline in pipelines)

    def spooled():
        return sum(pipeline.health.spool_spans for pipeline in pipelines)

    return Side("mmtrace", call, flush, lost, spooled)


def stock(state):
    """Return a call recorded by the stock SDK as its documentation shows."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    flush = configured(state, lambda: BatchSpanProcessor(OTLPSpanExporter()))
    return Side("stock", metered(opentelemetry_span()), flush)


def fastotel(state):
    """Return a call recorded by the stock SDK with fastotel's processor."""
    from fastotel import OTLPSpanProcessor

    processors = []

    def processor():
        processors.append(OTLPSpanProcessor())
        return processors[-1]

    flush = configured(state, processor)
    return Side("fastotel", metered(opentelemetry_span()), flush, lambda: sum(map(known_lost, processors)))


def known_lost(processor):
    """Return what fastotel counted; it has no public way to ask yet."""
    native = processor._native
    return native.dropped_spans() + native.failed_spans() + native.rejected_spans()


def ddtrace(state):
    """Return a call recorded by ddtrace."""
    from ddtrace.trace import TraceFilter, tracer

    class Nowhere(TraceFilter):
        def process_trace(self, trace):
            return None

    if state == "recording":
        tracer.configure(trace_processors=[Nowhere()])
    flush_metrics = configured(state, None)

    def flush():
        tracer.flush()
        flush_metrics()

    return Side("ddtrace", metered(ddtrace_span(tracer)), flush)


def configured(state, make_processor):
    """Put the stock SDK into `state`, without traces where `make_processor` is None; return its flush."""
    if state == "no-op":
        return lambda: None
    from opentelemetry import metrics, trace
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader, PeriodicExportingMetricReader
    from opentelemetry.sdk.trace import TracerProvider

    exports = os.environ["OTEL_METRICS_EXPORTER"] == "otlp"
    reader = PeriodicExportingMetricReader(OTLPMetricExporter()) if exports else InMemoryMetricReader()
    meters = MeterProvider([reader])
    metrics.set_meter_provider(meters)
    provider = TracerProvider()
    if make_processor is not None:
        trace.set_tracer_provider(provider)
        if exports:
            provider.add_span_processor(make_processor())

    def flush():
        provider.force_flush()
        if exports:
            meters.force_flush()

    return flush


def opentelemetry_span():
    """Return what makes the span with the OpenTelemetry API."""
    from opentelemetry import trace

    tracer = trace.get_tracer("benchmark", "1")
    name, task, size, tokens_in, tokens_out, outcome = SIX

    def record(start, took):
        with tracer.start_as_current_span("infer reader", attributes={name: "reader", task: "infer"}) as span:
            span.set_attribute(size, 8)
            span.set_attribute(tokens_in, 512)
            span.set_attribute(tokens_out, 64)
            span.set_attribute(outcome, "ok")
            took(start)

    return record


def ddtrace_span(tracer):
    """Return what makes the span with ddtrace's API."""
    name, task, size, tokens_in, tokens_out, outcome = SIX

    def record(start, took):
        with tracer.trace("infer reader") as span:
            span.set_tag(name, "reader")
            span.set_tag(task, "infer")
            span.set_metric(size, 8)
            span.set_metric(tokens_in, 512)
            span.set_metric(tokens_out, 64)
            span.set_tag(outcome, "ok")
            took(start)

    return record


def metered(record_span):
    """Return a call that records a span, and the metrics with the OpenTelemetry API, the duration inside the span."""
    from opentelemetry import metrics

    meter = metrics.get_meter("benchmark", "1")
    sizes = tuple(float(1 << power) for power in range(11))
    duration = meter.create_histogram("mmtrace.model.call.duration", "s", explicit_bucket_boundaries_advisory=SECONDS)
    batch_size = meter.create_histogram("mmtrace.model.batch.size", explicit_bucket_boundaries_advisory=sizes)
    active = meter.create_up_down_counter("mmtrace.model.calls.active")
    tokens = meter.create_counter("mmtrace.model.tokens")

    def took(start):
        duration.record(time.perf_counter() - start, {**LABELS, "outcome": "ok", "error.type": ""})

    def call():
        active.add(1, LABELS)
        record_span(time.perf_counter(), took)
        batch_size.record(8, LABELS)
        tokens.add(512, {**LABELS, "direction": "input"})
        tokens.add(64, {**LABELS, "direction": "output"})
        active.add(-1, LABELS)

    return call


SIDES = {"untraced": untraced, "stock": stock, "mmtrace": ours, "fastotel": fastotel, "ddtrace": ddtrace}
PEERS = ("fastotel", "ddtrace")
RECORDERS = ("stock", "mmtrace", *(peer for peer in PEERS if find_spec(peer)))
"""Who records here: a peer that is not installed is left out."""
