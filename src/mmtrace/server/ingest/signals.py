"""The three signals, and what happens to a request of any of them on either transport."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from mmtrace.errors import DecodeError
from mmtrace.server.ingest.bodies import unpack
from mmtrace.server.ingest.forms import Form
from mmtrace.server.refusals import Refusal
from mmtrace.server.storage.batch import Batch, batch_of_logs, batch_of_metrics, batch_of_traces
from mmtrace.server.store import Store


@dataclass(frozen=True)
class Signal:
    """One kind of telemetry: where it is sent, and what its messages are."""

    path: str
    method: str
    request: type[Message]
    batch_of: Callable[[Any, int], Batch]
    response: Callable[[int], Message]
    """Makes the answer from the number of items that were rejected."""


def _traces_answer(rejected: int) -> ExportTraceServiceResponse:
    if not rejected:
        return ExportTraceServiceResponse()
    why = "spans without a valid trace id of 16 bytes and span id of 8 bytes were left out"
    return ExportTraceServiceResponse(
        partial_success=ExportTracePartialSuccess(rejected_spans=rejected, error_message=why)
    )


_COLLECTOR: Final = "/opentelemetry.proto.collector"
SIGNALS: Final = (
    Signal(
        "/v1/traces",
        f"{_COLLECTOR}.trace.v1.TraceService/Export",
        ExportTraceServiceRequest,
        batch_of_traces,
        _traces_answer,
    ),
    Signal(
        "/v1/metrics",
        f"{_COLLECTOR}.metrics.v1.MetricsService/Export",
        ExportMetricsServiceRequest,
        batch_of_metrics,
        lambda _: ExportMetricsServiceResponse(),
    ),
    Signal(
        "/v1/logs",
        f"{_COLLECTOR}.logs.v1.LogsService/Export",
        ExportLogsServiceRequest,
        batch_of_logs,
        lambda _: ExportLogsServiceResponse(),
    ),
)


def take(store: Store, signal: Signal, form: Form, body: bytes, encoding: str) -> bytes:
    """Put what `body` holds into the store, and return the answer in the form of the request.

    Raises Refusal, with nothing stored.
    """
    unpacked = unpack(body, encoding)
    try:
        request = form.read(unpacked, signal.request)
    except DecodeError as error:
        raise Refusal(400, str(error)) from error
    batch = signal.batch_of(request, len(unpacked))
    if not store.add(batch):
        why = store.trouble or "the store is behind with writing"
        raise Refusal(503, f"{why}; send this again", {"Retry-After": "1"})
    return form.write(signal.response(batch.rejected))
