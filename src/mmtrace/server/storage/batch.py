"""What one request brought, as rows that the writer only has to insert."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from mmtrace import attributes as names
from mmtrace.otlp.decode import has_valid_ids

LONGEST_NAME: Final = 512
"""Names are cut to this length where they are searched for; the bytes keep all."""

LAST_MOMENT: Final = (1 << 63) - 1
"""SQLite's integers are signed."""

_MODEL_KEYS: Final = (names.MODEL_NAME, names.GEN_AI_REQUEST_MODEL)

Origin: TypeAlias = tuple[bytes, str, bytes, str, str]
"""Resource and its schema, scope and its schema, name of the service."""
Operation: TypeAlias = tuple[str, int, str]
"""Name and kind of a span, model that it calls."""
SpanRow: TypeAlias = tuple[Operation, bytes, bytes, int, int, int, int, bytes]
"""Operation, trace id, span id, root, error, start, end, serialized span."""
MetricRow: TypeAlias = tuple[str, bytes]
"""Name, serialized metric."""
LogRow: TypeAlias = tuple[int, "bytes | None", "bytes | None", str, bytes]
"""Time, trace id, span id, severity, serialized record."""


@dataclass(slots=True)
class Batch:
    """Rows of one request, by origin; `size` is what they count in the queue.

    `traces` has start, end and whether there was an error by trace id; `links` has target trace and span, then source
    trace and span. `rejected` spans have no valid ids.
    """

    size: int
    spans: list[tuple[Origin, list[SpanRow]]] = field(default_factory=list)
    traces: dict[bytes, tuple[int, int, int]] = field(default_factory=dict)
    links: list[tuple[bytes, bytes, bytes, bytes]] = field(default_factory=list)
    metrics: list[tuple[Origin, list[MetricRow]]] = field(default_factory=list)
    logs: list[tuple[Origin, list[LogRow]]] = field(default_factory=list)
    rejected: int = 0

    @property
    def span_count(self) -> int:
        """How many spans it has."""
        return sum(len(rows) for _, rows in self.spans)


def batch_of_traces(request: ExportTraceServiceRequest, size: int) -> Batch:
    """Return the rows of the spans of `request`; those without valid ids are counted as rejected."""
    batch = Batch(size)
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            origin = _origin(
                resource_spans.resource, resource_spans.schema_url, scope_spans.scope, scope_spans.schema_url
            )
            batch.spans.append((origin, _span_rows(batch, scope_spans.spans)))
    return batch


def _span_rows(batch: Batch, spans: Iterable[Span]) -> list[SpanRow]:
    rows: list[SpanRow] = []
    for span in spans:
        if not has_valid_ids(span):
            batch.rejected += 1
            continue
        trace_id, span_id, data = span.trace_id, span.span_id, span.SerializeToString()
        start = min(span.start_time_unix_nano, LAST_MOMENT)
        end = min(span.end_time_unix_nano, LAST_MOMENT)
        error = int(span.status.code == Status.STATUS_CODE_ERROR)
        operation = (span.name[:LONGEST_NAME], span.kind, _model(span) if b"model" in data else "")
        rows.append((operation, trace_id, span_id, not span.parent_span_id, error, start, end, data))
        known = batch.traces.get(trace_id)
        if known is not None:
            start, end, error = min(start, known[0]), max(end, known[1]), error or known[2]
        batch.traces[trace_id] = (start, end, error)
        if span.links:
            batch.links.extend((link.trace_id, link.span_id, trace_id, span_id) for link in span.links)
    return rows


def _model(span: Span) -> str:
    found = {pair.key: pair.value.string_value for pair in span.attributes if pair.key in _MODEL_KEYS}
    return next((found[key][:LONGEST_NAME] for key in _MODEL_KEYS if found.get(key)), "")


def batch_of_metrics(request: ExportMetricsServiceRequest, size: int) -> Batch:
    """Return the rows of the metrics of `request`."""
    batch = Batch(size)
    for resource_metrics in request.resource_metrics:
        for scope_metrics in resource_metrics.scope_metrics:
            origin = _origin(
                resource_metrics.resource, resource_metrics.schema_url, scope_metrics.scope, scope_metrics.schema_url
            )
            rows = [(metric.name[:LONGEST_NAME], metric.SerializeToString()) for metric in scope_metrics.metrics]
            batch.metrics.append((origin, rows))
    return batch


def batch_of_logs(request: ExportLogsServiceRequest, size: int) -> Batch:
    """Return the rows of the log records of `request`."""
    batch = Batch(size)
    for resource_logs in request.resource_logs:
        for scope_logs in resource_logs.scope_logs:
            origin = _origin(resource_logs.resource, resource_logs.schema_url, scope_logs.scope, scope_logs.schema_url)
            batch.logs.append((origin, [_log_row(record) for record in scope_logs.log_records]))
    return batch


def _log_row(record: LogRecord) -> LogRow:
    time = min(record.time_unix_nano or record.observed_time_unix_nano, LAST_MOMENT)
    severity = record.severity_text[:LONGEST_NAME]
    return (time, record.trace_id or None, record.span_id or None, severity, record.SerializeToString())


def _origin(resource: Resource, resource_schema: str, scope: InstrumentationScope, scope_schema: str) -> Origin:
    return (
        resource.SerializeToString(deterministic=True),
        resource_schema,
        scope.SerializeToString(deterministic=True),
        scope_schema,
        _service(resource),
    )


def _service(resource: Resource) -> str:
    found = (pair.value.string_value for pair in resource.attributes if pair.key == names.SERVICE_NAME)
    return next(found, "")[:LONGEST_NAME] or "unknown_service"
