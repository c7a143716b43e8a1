"""The same telemetry made by mmtrace and by the stock SDK: one call of a model in each state.

Both record a span with six attributes, a histogram of the duration, a histogram of the batch size, an up-down counter
of the calls that run, and a counter of tokens in and of tokens out. Both are configured by the OTEL_* variables.
"""

import os
import time

SIX = (
    "mmtrace.model.name",
    "mmtrace.model.task",
    "mmtrace.batch.size",
    "mmtrace.input.tokens",
    "mmtrace.output.tokens",
)
SIX += ("mmtrace.outcome",)


def environment(state, endpoint, service):
    """Return the variables that put a process into `state`."""
    exporter = "otlp" if state in {"sampled out", "exporting"} else "none"
    return {
        "OTEL_SERVICE_NAME": service,
        "OTEL_TRACES_EXPORTER": exporter,
        "OTEL_METRICS_EXPORTER": exporter,
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_TRACES_SAMPLER": "parentbased_always_off" if state == "sampled out" else "parentbased_always_on",
    }


def untraced(state):
    """Return a call that records nothing, and a flush that has nothing to do."""

    def call():
        pass

    return call, call


def ours(state):
    """Return a call recorded by mmtrace's verbs, and its flush."""
    import mmtrace

    if state != "no-op":
        mmtrace.configure()

    def call():
        with mmtrace.model_call("reader", batch_size=8) as model_call:
            model_call.set(input_tokens=512, output_tokens=64)

    def flush():
        if state != "no-op":
            mmtrace.flush(timeout=30)

    return call, flush


def stock(state):
    """Return a call recorded by the stock SDK as its documentation shows, and its flush."""
    from opentelemetry import metrics, trace

    flush = configure_stock(state) if state != "no-op" else lambda: None
    tracer, meter = trace.get_tracer("benchmark", "1"), metrics.get_meter("benchmark", "1")
    buckets = (
        0.001,
        0.0025,
        0.005,
        0.01,
        0.025,
        0.05,
        0.1,
        0.25,
        0.5,
        1.0,
        2.5,
        5.0,
        10.0,
        30.0,
        60.0,
        120.0,
        300.0,
        600.0,
    )
    duration = meter.create_histogram("mmtrace.model.call.duration", "s", explicit_bucket_boundaries_advisory=buckets)
    sizes = tuple(float(1 << power) for power in range(11))
    batch_size = meter.create_histogram("mmtrace.model.batch.size", explicit_bucket_boundaries_advisory=sizes)
    active = meter.create_up_down_counter("mmtrace.model.calls.active")
    tokens = meter.create_counter("mmtrace.model.tokens")
    labels = {"model": "reader", "version": "", "task": "infer", "framework": ""}
    name, task, size, tokens_in, tokens_out, outcome = SIX

    def call():
        active.add(1, labels)
        start = time.perf_counter()
        with tracer.start_as_current_span("infer reader", attributes={name: "reader", task: "infer"}) as span:
            span.set_attribute(size, 8)
            span.set_attribute(tokens_in, 512)
            span.set_attribute(tokens_out, 64)
            span.set_attribute(outcome, "ok")
            duration.record(time.perf_counter() - start, {**labels, "outcome": "ok", "error.type": ""})
        batch_size.record(8, labels)
        tokens.add(512, {**labels, "direction": "input"})
        tokens.add(64, {**labels, "direction": "output"})
        active.add(-1, labels)

    return call, flush


def configure_stock(state):
    from opentelemetry import metrics, trace
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader, PeriodicExportingMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exports = os.environ["OTEL_TRACES_EXPORTER"] == "otlp"
    provider = TracerProvider()
    if exports:
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter()) if exports else InMemoryMetricReader()
    meters = MeterProvider([reader])
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(meters)

    def flush():
        provider.force_flush()
        if exports:
            meters.force_flush()

    return flush


SIDES = {"untraced": untraced, "mmtrace": ours, "stock": stock}
STATES = ("no-op", "sampled out", "recording", "exporting")
