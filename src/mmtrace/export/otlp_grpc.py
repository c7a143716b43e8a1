"""OTLP over gRPC: the bytes of a request as they are, through a stub without serializers.

Source: https://opentelemetry.io/docs/specs/otlp/#otlpgrpc. A child that opens its own channel works where no call was
in flight in the parent when it forked, so exports are quiet before a fork. Calls of the application may be in flight
all the same, and gRPC may have been told to take no care of forks: then a call in a child never returns, whatever
timeout it has. A child notices, gives gRPC up, and what it has goes to the spool.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import grpc

from mmtrace.errors import ConfigurationError
from mmtrace.export import pem
from mmtrace.export.answers import partial_success, retry_delay
from mmtrace.export.target import Target
from mmtrace.transport.signals import Kind, Outcome, Signal

_SERVICES: Final = {
    Signal.TRACES: "trace.v1.TraceService",
    Signal.METRICS: "metrics.v1.MetricsService",
    Signal.LOGS: "logs.v1.LogsService",
}
_COMPRESSIONS: Final = {"gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}
_RETRIED: Final = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
_STATUS_DETAILS: Final = "grpc-status-details-bin"
_METADATA_KEY: Final = re.compile(r"[0-9a-z_.-]+")
_SIZE_COMPLAINT: Final = re.compile(r"larger than|exceeds|too large|too big", re.IGNORECASE)
_NOBODY: Final = re.compile(r"failed to connect|errors resolving|DNS resolution failed|Deadline Exceeded$")
"""What gRPC itself says where no server said anything; the status is the same as a server's own."""
_HTTP_COMPLAINT: Final = re.compile(r"http1|HTTP/1|parsing HTTP/2")
_LONGEST_RECONNECT_MS: Final = 10_000
_GRACE: Final = 0.5
"""Seconds after the end of its time in which a call must have returned."""
_FORK_SUPPORT: Final = "GRPC_ENABLE_FORK_SUPPORT"
_OFF: Final = frozenset({"0", "f", "false", "n", "no"})

_inherited: Final[list[object]] = []
"""Channels and calls of parents: never used, and kept, because what closing them does in a child is undefined."""


class OtlpGrpc:
    """Sends each signal to its target. Raises ConfigurationError for a target that can never work."""

    quiet_before_fork = True

    def __init__(self, targets: Mapping[Signal, Target], *, agent: str = "mmtrace") -> None:
        self._targets = dict(targets)
        self._agent = agent
        self._metadata = {signal: _metadata(target) for signal, target in targets.items()}
        self._channels: dict[object, grpc.Channel] = {}
        self._calls: dict[Signal, Any] = {}
        self._is_forked = False
        self._is_stuck = False
        self.where = next(iter(targets.values())).where
        for target in targets.values():
            pem.check(target)

    def export(self, signal: Signal, body: bytes, count: int, timeout: float) -> Outcome:
        """Call the service of `signal` with `body` and say what came of it."""
        target = self._targets.get(signal)
        if target is None:
            return Outcome("unsupported", message=f"no receiver is set for {signal.label}")
        if self._is_stuck:
            return self._stuck()
        try:
            answer = self._ask(signal, target, body, min(timeout, target.timeout))
        except grpc.RpcError as error:
            return _outcome(signal, target, error)
        except grpc.FutureTimeoutError:
            self._is_stuck = True
            return self._stuck()
        rejected, message = partial_success(answer)
        return Outcome("accepted", rejected=rejected, message=message)

    def _ask(self, signal: Signal, target: Target, body: bytes, timeout: float) -> Any:
        call = self._calls.get(signal) or self._open(signal, target)
        options = {
            "timeout": timeout,
            "metadata": self._metadata[signal],
            "compression": _COMPRESSIONS.get(target.compression),
        }
        if not self._is_forked:
            return call(body, **options)
        return call.future(body, **options).result(timeout + _GRACE)

    def _stuck(self) -> Outcome:
        return Outcome(
            "retry",
            message=f"{self.where} cannot be reached from this forked process: gRPC does not work in it. Unset "
            f"{_FORK_SUPPORT}, fork before gRPC is used, or set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
            answered=False,
        )

    def close(self) -> None:
        """Close the channels."""
        channels, self._channels, self._calls = self._channels, {}, {}
        for channel in channels.values():
            channel.close()

    def after_fork(self) -> None:
        """Leave the parent's channels alone and open new ones when they are needed."""
        self._is_forked = True
        self._is_stuck = self._is_stuck or (bool(self._channels) and os.environ.get(_FORK_SUPPORT, "").lower() in _OFF)
        _inherited.extend((*self._channels.values(), *self._calls.values()))
        self._channels, self._calls = {}, {}

    def _open(self, signal: Signal, target: Target) -> Any:
        key = (target.url, target.files, target.insecure)
        if key not in self._channels:
            self._channels[key] = _channel(target, self._agent)
        method = f"/opentelemetry.proto.collector.{_SERVICES[signal]}/Export"
        self._calls[signal] = self._channels[key].unary_unary(method)
        return self._calls[signal]


def _metadata(target: Target) -> tuple[tuple[str, str], ...]:
    metadata = tuple((key.lower(), value) for key, value in target.headers.items())
    for key, _ in metadata:
        if not _METADATA_KEY.fullmatch(key):
            raise ConfigurationError(f"{key!r} cannot be a header over gRPC: letters, digits, _, - and . are allowed")
    return metadata


def _channel(target: Target, agent: str) -> grpc.Channel:
    address, secure = _address(target)
    options = [
        ("grpc.primary_user_agent", agent),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_reconnect_backoff_ms", _LONGEST_RECONNECT_MS),
    ]
    if not secure:
        return grpc.insecure_channel(address, options=options)
    certificate, client_certificate, client_key = map(_content, target.files)
    credentials = grpc.ssl_channel_credentials(certificate, client_key, client_certificate)
    return grpc.secure_channel(address, credentials, options=options)


def _content(path: str | None) -> bytes | None:
    return Path(path).read_bytes() if path else None


def _address(target: Target) -> tuple[str, bool]:
    """Return what gRPC calls the target, and whether TLS is spoken with it."""
    parts = urlsplit(target.url)
    host = parts.netloc.rpartition("@")[2]
    if parts.scheme == "https":
        return host, True
    if parts.scheme == "http":
        return host if parts.port else f"{host}:4317", False
    return target.url, not target.insecure


def _outcome(signal: Signal, target: Target, error: Any) -> Outcome:
    code, details = error.code(), " ".join((error.details() or "").split())
    delay = _delay(error)
    said = f"{target.where} answered {code.name}{f' ({details})' if details else ''}"
    return Outcome(
        _kind(code, details, delay),
        message=f"{said}{_remedy(signal, code, details)}",
        retry_after=delay,
        answered=not _NOBODY.match(details),
    )


def _kind(code: grpc.StatusCode, details: str, delay: float | None) -> Kind:
    if code in _RETRIED:
        return "retry"
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return "unsupported"
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return "retry" if delay is not None else "too_large" if _SIZE_COMPLAINT.search(details) else "rejected"
    return "rejected"


def _delay(error: Any) -> float | None:
    for key, value in error.trailing_metadata() or ():
        if key == _STATUS_DETAILS:
            return retry_delay(value)
    return None


def _remedy(signal: Signal, code: grpc.StatusCode, details: str) -> str:
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return f": it does not receive {signal.label} (Jaeger, for one, takes traces only)"
    if code in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}:
        return ": credentials go into OTEL_EXPORTER_OTLP_HEADERS"
    if code is grpc.StatusCode.UNAVAILABLE and _HTTP_COMPLAINT.search(details):
        return ". Use the port of OTLP over gRPC, 4317 as a rule, or set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
    if code is grpc.StatusCode.UNAVAILABLE:
        return ". Start a receiver there (`mmtrace serve`, a Collector), or set OTEL_EXPORTER_OTLP_ENDPOINT"
    return ""
