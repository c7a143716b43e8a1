"""The dashboard of telemetry itself: what services send, what they drop, and how the Collector keeps up."""

from typing import Final

from mmtrace import attributes as names
from mmtrace.rules.dashboards.grafana import RATE, Choice, Json, Panel, Query, Row, dashboard
from mmtrace.rules.promql import selector, series

_JOB: Final = Choice("job", "job", series(names.SDK_SPANS_STARTED))
_LEGEND: Final = "{{job}}"

_ITEMS: Final = ("spans", "metric_points", "log_records")
_FILLED: Final = " / ".join(
    f"sum by (instance, exporter, data_type) (otelcol_exporter_queue_{what})" for what in ("size", "capacity")
)
_MEMORY: Final = "otelcol_process_memory_rss or otelcol_process_memory_rss_bytes"


def telemetry() -> Json:
    """Return the dashboard."""
    return dashboard(
        "mmtrace-telemetry",
        "mmtrace: telemetry",
        "Whether spans and metrics arrive: started = exported + dropped + what still waits.",
        (_JOB,),
        [_spans(), _queues(), _collector()],
    )


def _rate(metric: names.Metric, by: str = "job") -> str:
    return f"sum by ({by}) (rate({selector(series(metric), _JOB.matcher)}[{RATE}]))"


def _spans() -> Row:
    return Row(
        "Spans of the services",
        [
            Panel("Started a second", [Query(_rate(names.SDK_SPANS_STARTED), _LEGEND)], "ops"),
            Panel("Exported a second", [Query(_rate(names.SDK_SPANS_EXPORTED), _LEGEND)], "ops"),
            Panel(
                "Dropped a second",
                [Query(_rate(names.SDK_SPANS_DROPPED, "job, reason"), f"{_LEGEND} {{{{reason}}}}")],
                "ops",
                about="Each reason says what to do about it.",
            ),
            Panel("Left out by sampling a second", [Query(_rate(names.SDK_SPANS_SAMPLED_OUT), _LEGEND)], "ops"),
        ],
        columns=4,
    )


def _queues() -> Row:
    def most(metric: names.Metric) -> str:
        return f"max by (job, instance) ({selector(series(metric), _JOB.matcher)})"

    share = f"{most(names.SDK_QUEUE_BYTES)} / ({most(names.SDK_QUEUE_CAPACITY)} > 0)"
    return Row(
        "Queues of the services",
        [
            Panel("Share of the queue in use", [Query(share, "{{job}} {{instance}}")], "percentunit", limit=0.8),
            Panel("Spans that wait", [Query(most(names.SDK_QUEUE_SPANS), "{{job}} {{instance}}")]),
            Panel("Spans that wait on disk", [Query(most(names.SDK_SPOOL_SPANS), "{{job}} {{instance}}")]),
        ],
    )


def _collector() -> Row:
    return Row(
        "Collector",
        [
            Panel("Received a second", _flow("receiver", accepted=""), "ops"),
            Panel("Refused a second", _flow("receiver", refused=""), "ops"),
            Panel("Sent a second", _flow("exporter", sent=""), "ops"),
            Panel("Lost a second", _flow("exporter", send_failed="send ", enqueue_failed="enqueue "), "ops"),
            Panel(
                "Share of the queue in use",
                [Query(_FILLED, "{{instance}} {{exporter}} {{data_type}}")],
                "percentunit",
                limit=0.8,
            ),
            Panel("Memory", [Query(_MEMORY, "{{instance}}")], "bytes"),
        ],
    )


def _flow(part: str, **fates: str) -> list[Query]:
    """Return the rate of each kind of items that met these fates in a part of the Collector; a legend says which."""
    return [
        Query(_rate_in_collector(f"otelcol_{part}_{fate}_{items}", part), f"{{{{{part}}}}} {said}{items}")
        for items in _ITEMS
        for fate, said in fates.items()
    ]


def _rate_in_collector(counter: str, by: str) -> str:
    """Return the rate of a counter, which ends in _total where it came by OTLP."""
    either = " or ".join(f"rate({name}[{RATE}])" for name in (counter, f"{counter}_total"))
    return f"sum by ({by}) ({either})"
