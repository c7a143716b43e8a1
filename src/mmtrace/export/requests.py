"""The requests of the three signals as protobuf messages, for exporters that read what they write out."""

from typing import Final

from google.protobuf.message import DecodeError as ProtobufError
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from mmtrace.errors import DecodeError
from mmtrace.transport.signals import Signal

_REQUESTS: Final[dict[Signal, type[Message]]] = {
    Signal.TRACES: ExportTraceServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
    Signal.LOGS: ExportLogsServiceRequest,
}


def request_of(signal: Signal, body: bytes) -> Message:
    """Return the request that `body` holds. Raises DecodeError."""
    try:
        return _REQUESTS[signal].FromString(body)
    except ProtobufError as error:
        raise DecodeError(f"not a request of {signal.label}: {error}") from error
