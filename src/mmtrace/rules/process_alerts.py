"""Alerts on processes, on telemetry that is lost or missing, and on the Collector."""

from collections.abc import Iterator
from typing import Final

from mmtrace import attributes as names
from mmtrace.rules.objectives import Objectives, ProcessLimits
from mmtrace.rules.promql import bound, grew, number, selector, series
from mmtrace.rules.rule import Alert, Group

_QUEUE_FULL: Final = "0.8"
_SIGNALS: Final = {"traces": "spans", "metrics": "metric_points", "logs": "log_records"}
_PROCESS: Final = "job, instance"


def groups(objectives: Objectives) -> list[Group]:
    """Return the groups of alerts on everything but models."""
    return [
        Group("mmtrace-processes", tuple(_processes(objectives.process))),
        Group("mmtrace-telemetry", tuple(_telemetry())),
        Group("mmtrace-collector", tuple(_collector())),
    ]


def _processes(limits: ProcessLimits) -> Iterator[Alert]:
    used, allowed = series(names.PROCESS_MEMORY_USAGE), series(names.PROCESS_MEMORY_LIMIT)
    yield Alert(
        "MMTraceMemoryHigh",
        f"sum by ({_PROCESS}) ({used}) / max by ({_PROCESS}) ({allowed} > 0) > {number(limits.memory)}",
        "page",
        "{{ $labels.job }} ({{ $labels.instance }}): {{ $value | humanizePercentage }} of the memory that it may use",
        "The kernel ends a process at 100 %. Look at batch size, at the length of inputs, and for a leak. What forked "
        "workers share with each other is counted for each of them.",
        "5m",
    )
    pauses = series(names.GC_PAUSE, "count")
    short = selector(series(names.GC_PAUSE, "bucket"), bound(limits.gc_pause))
    yield Alert(
        "MMTraceGCPauseLong",
        f"sum by ({_PROCESS}) (increase({pauses}[5m])) - sum by ({_PROCESS}) (increase({short}[5m])) > 0.5",
        "ticket",
        "{{ $labels.job }} ({{ $labels.instance }}): garbage collection took over "
        f"{number(limits.gc_pause)} s, {{{{ $value | humanize }}}} times in 5 minutes",
        "Every call of the process waited that long. gc.freeze() after the models are loaded is the usual remedy.",
        "5m",
    )
    gpu_used, gpu = series(names.GPU_MEMORY_USAGE), series(names.GPU_MEMORY_LIMIT)
    by_gpu = f"{_PROCESS}, hw_id"
    yield Alert(
        "MMTraceGPUMemoryHigh",
        f"max by ({by_gpu}) ({gpu_used}) / max by ({by_gpu}) ({gpu} > 0) > {number(limits.gpu_memory)}",
        "ticket",
        "{{ $labels.job }}: {{ $value | humanizePercentage }} of the memory of GPU {{ $labels.hw_id }} is in use",
        "The next larger batch may fail. A runtime that takes all memory at its start needs a higher limit here.",
        "10m",
    )


def _telemetry() -> Iterator[Alert]:
    started = series(names.SDK_SPANS_STARTED)
    yield Alert(
        "MMTraceNoTelemetry",
        f"group by (job) (max_over_time({started}[1h])) unless group by (job) (max_over_time({started}[10m]))",
        "ticket",
        "{{ $labels.job }} has sent nothing for 10 minutes",
        "The service is down, or its way to the Collector is: ask it by `mmtrace doctor`. Silent again after an hour.",
        "5m",
    )
    yield Alert(
        "MMTraceSpansDropped",
        grew(series(names.SDK_SPANS_DROPPED), "job, reason"),
        "ticket",
        "{{ $labels.job }} dropped {{ $value | humanize }} spans in 5 minutes ({{ $labels.reason }})",
        "Traces have holes. The reason says what to do: a larger queue, a spool, a receiver that takes them.",
    )
    queued, room = series(names.SDK_QUEUE_BYTES), series(names.SDK_QUEUE_CAPACITY)
    yield Alert(
        "MMTraceQueueFilling",
        f"max by ({_PROCESS}) ({queued}) / max by ({_PROCESS}) ({room} > 0) > {_QUEUE_FULL}",
        "ticket",
        "{{ $labels.job }} ({{ $labels.instance }}): the queue of spans is {{ $value | humanizePercentage }} full",
        "The receiver is slower than the service, or away. What does not fit is dropped and counted.",
        "2m",
    )
    yield Alert(
        "MMTraceSpansOnDisk",
        f"max by ({_PROCESS}) ({series(names.SDK_SPOOL_SPANS)}) > 0",
        "ticket",
        "{{ $labels.job }} ({{ $labels.instance }}): {{ $value | humanize }} spans have waited on disk for 15 minutes",
        "The receiver is away. Nothing is lost until the spool is full. `mmtrace doctor` says what is wrong.",
        "15m",
    )


def _collector() -> Iterator[Alert]:
    yield Alert(
        "OtelcolQueueFilling",
        "sum by (job, instance, exporter, data_type) (otelcol_exporter_queue_size) "
        f"/ sum by (job, instance, exporter, data_type) (otelcol_exporter_queue_capacity) > {_QUEUE_FULL}",
        "ticket",
        "Collector {{ $labels.instance }}: {{ $labels.exporter }} has its queue of {{ $labels.data_type }} "
        "{{ $value | humanizePercentage }} full",
        "What is behind the exporter is away or too slow. When the queue is full, data is refused.",
        "5m",
    )
    for signal, items in _SIGNALS.items():
        yield _lost("OtelcolLosingData", f"otelcol_exporter_send_failed_{items}", signal, "exporter", "gave up on")
        yield _lost(
            "OtelcolQueueFull", f"otelcol_exporter_enqueue_failed_{items}", signal, "exporter", "had no room for"
        )
        yield _lost("OtelcolRefusing", f"otelcol_receiver_refused_{items}", signal, "receiver", "refused")


_ADVICE: Final = {
    "OtelcolLosingData": "This data is lost. The Collector's log says what the receiver answered.",
    "OtelcolQueueFull": "This data is lost, or its sender must keep it. Give the queue room, or the backend speed.",
    "OtelcolRefusing": "The memory limiter or a full queue pushes back; senders try again, until they are full.",
}


def _lost(name: str, counter: str, signal: str, by: str, verb: str) -> Alert:
    """Return the alert on a counter of the Collector, which ends in _total where it came by OTLP."""
    labels = f"job, instance, {by}"
    return Alert(
        name,
        f"{grew(counter, labels)} or {grew(counter + '_total', labels)}",
        "ticket" if name == "OtelcolRefusing" else "page",
        f"Collector {{{{ $labels.instance }}}}: {{{{ $labels.{by} }}}} {verb} {{{{ $value | humanize }}}} items of "
        f"{signal} in 5 minutes",
        _ADVICE[name],
        labels={"signal": signal},
    )
