"""A gRPC service for tests: the methods of any object, whose requests and responses are bytes."""

import grpc
from opentelemetry.trace import SpanKind

PACKAGE = "test.Echo"

_KINDS = {
    "collects": grpc.stream_unary_rpc_method_handler,
    "converses": grpc.stream_stream_rpc_method_handler,
    "stream": grpc.unary_stream_rpc_method_handler,
    "endless": grpc.unary_stream_rpc_method_handler,
}
"""Of which kind a method is, by the first word of its name; all others take one request and return one response."""


def path(method):
    return f"/{PACKAGE}/{method}"


def handlers(servicer):
    """Return what serves the public methods of `servicer`."""
    methods = [name for name in dir(servicer) if not name.startswith("_") and callable(getattr(servicer, name))]
    kinds = {name: _KINDS.get(name.partition("_")[0], grpc.unary_unary_rpc_method_handler) for name in methods}
    return grpc.method_handlers_generic_handler(
        PACKAGE, {name: kind(getattr(servicer, name)) for name, kind in kinds.items()}
    )


def both(spans):
    """Return the span of the client and that of the server, of one call."""
    by_kind = {span.kind: span for span in spans}
    assert len(spans) == 2 and by_kind.keys() == {SpanKind.CLIENT, SpanKind.SERVER}, spans
    client, server = by_kind[SpanKind.CLIENT], by_kind[SpanKind.SERVER]
    assert (server.trace_id, server.parent_span_id) == (client.trace_id, client.span_id)
    return client, server
