"""OTLP over gRPC: the same three services, on bytes.

Source: https://opentelemetry.io/docs/specs/otlp/#otlpgrpc.
"""

import hmac
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import grpc

from mmtrace.server.ingest.bodies import LIMIT
from mmtrace.server.ingest.forms import Protobuf
from mmtrace.server.ingest.signals import SIGNALS, Signal, take
from mmtrace.server.refusals import RPC_CODES, Refusal
from mmtrace.server.store import Store

_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_MAGIC: Final = {b"\x1f": "gzip", b"\x78": "deflate"}
"""The first byte of packed messages; no OTLP message begins with either."""


class GrpcReceiver:
    """Takes telemetry into `store` from those who know `token`.

    grpc hands packed messages over as they are: some of its releases unpack a message before they measure it. Calls
    beyond those that its workers serve wait; their messages are not read before it is their turn.
    """

    def __init__(self, store: Store, token: str | None) -> None:
        self._workers = ThreadPoolExecutor(2, thread_name_prefix="mmtrace-grpc")
        self._server = grpc.server(
            self._workers,
            handlers=[_Handler(store, token)],
            options=[
                ("grpc.max_receive_message_length", LIMIT),
                ("grpc.per_message_decompression", 0),
                ("grpc.so_reuseport", 0),
            ],
        )

    def bind(self, address: str, port: int) -> int:
        """Take the port, and return it. Raises RuntimeError where it cannot be had."""
        return int(self._server.add_insecure_port(f"[{address}]:{port}" if ":" in address else f"{address}:{port}"))

    def start(self) -> None:
        """Serve, in threads of its own."""
        self._server.start()

    def stop(self, grace: float) -> None:
        """Finish open calls within `grace` seconds, and end; idempotent."""
        self._server.stop(grace).wait()
        self._workers.shutdown()


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Finds who handles a call."""

    def __init__(self, store: Store, token: str | None) -> None:
        self._authorization = f"Bearer {token}".encode() if token else None
        self._handlers = {signal.method: _handler(store, signal) for signal in SIGNALS}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler | None":
        """Return the handler of a method, None for an unknown one."""
        if self._authorization and not self._is_authorized(handler_call_details):
            return _UNAUTHENTICATED
        return self._handlers.get(handler_call_details.method)

    def _is_authorized(self, details: grpc.HandlerCallDetails) -> bool:
        given = [value for key, value in details.invocation_metadata if key == "authorization"]
        return any(hmac.compare_digest(str(value).encode(), self._authorization or b"") for value in given)


def _handler(store: Store, signal: Signal) -> grpc.RpcMethodHandler:
    form = Protobuf()

    def export(message: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            return take(store, signal, form, message, _MAGIC.get(message[:1], ""))
        except Refusal as refusal:
            context.abort(_CODES[RPC_CODES[refusal.status]], str(refusal))
            raise  # abort has raised already

    return grpc.unary_unary_rpc_method_handler(export)


def _refuse_token(_: bytes, context: grpc.ServicerContext) -> None:
    context.abort(
        grpc.StatusCode.UNAUTHENTICATED,
        "the token is missing or wrong; send metadata `authorization: Bearer TOKEN`, which mmtrace serve printed",
    )


_UNAUTHENTICATED: Final = grpc.unary_unary_rpc_method_handler(_refuse_token)
