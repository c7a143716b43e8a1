"""The dashboard of processes: memory against its limit, CPU, garbage collection, event loops, GPUs."""

from typing import Final

from mmtrace import attributes as names
from mmtrace.rules.dashboards.grafana import RATE, Choice, Json, Panel, Query, Row, dashboard
from mmtrace.rules.objectives import Objectives, ProcessLimits
from mmtrace.rules.promql import selector, series

_JOB: Final = Choice("job", "job", series(names.PROCESS_MEMORY_USAGE))
_INSTANCE: Final = Choice("instance", "instance", series(names.PROCESS_MEMORY_USAGE), (_JOB.matcher,))
_CHOSEN: Final = (_JOB.matcher, _INSTANCE.matcher)
_LEGEND: Final = "{{job}} {{instance}}"


def processes(objectives: Objectives) -> Json:
    """Return the dashboard, with the limits of the objectives as lines."""
    limits = objectives.process
    return dashboard(
        "mmtrace-processes",
        "mmtrace: processes",
        "What the processes of model services use, and what holds them up.",
        (_JOB, _INSTANCE),
        [_memory(limits), _work(), _pauses(limits), _gpus(limits)],
    )


def _chosen(metric: names.Metric, part: str = "") -> str:
    return selector(series(metric, part), *_CHOSEN)


def _memory(limits: ProcessLimits) -> Row:
    used, allowed = _chosen(names.PROCESS_MEMORY_USAGE), _chosen(names.PROCESS_MEMORY_LIMIT)
    share = f"sum by (job, instance) ({used}) / max by (job, instance) ({allowed} > 0)"
    return Row(
        "Memory",
        [
            Panel("Share of what the cgroup allows", [Query(share, _LEGEND)], "percentunit", limit=limits.memory),
            Panel("Memory", [Query(used, _LEGEND), Query(allowed, f"limit of {_LEGEND}")], "bytes"),
        ],
        columns=2,
    )


def _work() -> Row:
    spent = f"sum by (job, instance) (rate({_chosen(names.PROCESS_CPU_TIME)}[{RATE}]))"
    return Row(
        "Work",
        [
            Panel("CPUs in use", [Query(spent, _LEGEND)]),
            Panel("Threads", [Query(_chosen(names.PROCESS_THREAD_COUNT), _LEGEND)]),
            Panel("Open files and sockets", [Query(_chosen(names.PROCESS_FILE_DESCRIPTOR_COUNT), _LEGEND)]),
        ],
    )


def _pauses(limits: ProcessLimits) -> Row:
    pauses = _chosen(names.GC_PAUSE, "bucket")
    spent = _chosen(names.GC_PAUSE, "sum")
    longest = f"histogram_quantile(1, sum by (le, job, instance) (rate({pauses}[{RATE}])))"
    share = f"sum by (job, instance, generation) (rate({spent}[{RATE}]))"
    late = f"sum by (le, job, instance) (rate({_chosen(names.EVENT_LOOP_LAG, 'bucket')}[{RATE}]))"
    return Row(
        "Garbage collection and event loops",
        [
            Panel("Longest garbage collection", [Query(longest, _LEGEND, exemplars=True)], "s", limit=limits.gc_pause),
            Panel(
                "Share of time in garbage collection",
                [Query(share, f"{_LEGEND}, generation {{{{generation}}}}")],
                "percentunit",
            ),
            Panel(
                "Callbacks of event loops are late by (p99)",
                [Query(f"histogram_quantile(0.99, {late})", _LEGEND, exemplars=True)],
                "s",
            ),
        ],
    )


def _gpus(limits: ProcessLimits) -> Row:
    used, there = _chosen(names.GPU_MEMORY_USAGE), _chosen(names.GPU_MEMORY_LIMIT)
    share = f"max by (job, instance, hw_id) ({used}) / max by (job, instance, hw_id) ({there} > 0)"
    legend = f"{_LEGEND} GPU {{{{hw_id}}}}"
    return Row(
        "GPUs",
        [
            Panel("Share of time at work", [Query(_chosen(names.GPU_UTILIZATION), legend)], "percentunit"),
            Panel("Share of memory", [Query(share, legend)], "percentunit", limit=limits.gpu_memory),
            Panel("Memory", [Query(used, legend)], "bytes"),
        ],
    )
