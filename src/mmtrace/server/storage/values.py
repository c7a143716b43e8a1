"""What the store is asked, and what it answers; times in nanoseconds since the epoch, durations in seconds."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mmtrace.spans import AttributeValue


@dataclass(frozen=True, slots=True)
class TraceQuery:
    """Which traces to find; None and the empty string ask for nothing.

    `service` and `operation` hold for one span of the trace, `model` for any of its model calls; durations and times
    are those of the whole trace. `text` is `key=value` (an attribute of a span, its events or its resource), a trace
    id, or words that occur in a span: names, attributes, messages. Each pair of `attributes` must hold for one span.
    """

    service: str | None = None
    operation: str | None = None
    model: str | None = None
    min_duration: float | None = None
    max_duration: float | None = None
    errors_only: bool = False
    text: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    start_ns: int | None = None
    end_ns: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class TraceSummary:
    """One row of a list of traces.

    `queue` and `compute` are seconds of the trace in which a model call waited, or computed: calls that run at the same
    time count once, and a moment in which one computes does not count as waiting.
    """

    trace_id: int
    root_name: str
    root_service: str
    start_time: int
    duration: float
    services: tuple[str, ...]
    models: tuple[str, ...]
    spans: int
    errors: int
    queue: float
    compute: float


@dataclass(frozen=True, slots=True)
class LinkEnd:
    """A span that a link starts from or points at."""

    trace_id: int
    span_id: int
    name: str
    service: str
    start_time: int
    duration: float


@dataclass(frozen=True, slots=True)
class IncomingLink:
    """A link from a span of another trace to a span of this one."""

    source: LinkEnd
    target_span_id: int


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record of a log; `span_id` is None where it belongs to the trace as a whole."""

    time: int
    severity: str
    body: str
    service: str
    span_id: int | None = None
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredMetric:
    """One metric as it arrived; `data` is the serialized `opentelemetry.proto.metrics.v1.Metric`."""

    time: int
    service: str
    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class StoreStats:
    """What the store holds and what it could not keep.

    `bytes` is the used part of the file and `max_bytes` its bound; `waiting` is bytes accepted but not yet written.
    `dropped_traces` and `dropped_spans` were removed to stay within the bound, `failed_spans` could not be written.
    """

    traces: int
    spans: int
    metrics: int
    logs: int
    bytes: int
    max_bytes: int
    waiting: int
    dropped_traces: int
    dropped_spans: int
    failed_spans: int
