from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, TraceFlags

from mmtrace.otlp.encode import encode_span, frame_of


@pytest.fixture(scope="session")
def encoded() -> Callable[..., ExportTraceServiceRequest]:
    """Encodes spans with our encoder and parses the bytes with protobuf."""

    def parse(*spans: Any) -> ExportTraceServiceRequest:
        body = b"".join(frame_of(span).wrap([encode_span(span)]) for span in spans)
        return ExportTraceServiceRequest.FromString(body)

    return parse


@pytest.fixture(scope="session")
def span_with() -> Callable[..., ReadableSpan]:
    """Makes a finished span of the SDK with these attributes and other fields, nothing cleaned."""
    context = SpanContext(0xA1 << 120 | 1, 0xB2 << 56 | 1, is_remote=False, trace_flags=TraceFlags(1))

    def make(attributes: dict[Any, Any] | None = None, **fields: Any) -> ReadableSpan:
        known = {"name": "infer ocr", "context": context, "start_time": 1_000, "end_time": 2_000, **fields}
        return ReadableSpan(attributes=attributes, **known)

    return make


@pytest.fixture(scope="session")
def values_of(encoded, span_with) -> Callable[[dict[Any, Any]], dict[str, Any]]:
    """Encodes attributes and returns the AnyValue messages by key."""

    def encode(attributes: dict[Any, Any]) -> dict[str, Any]:
        (resource_spans,) = encoded(span_with(attributes)).resource_spans
        return {pair.key: pair.value for pair in resource_spans.scope_spans[0].spans[0].attributes}

    return encode
