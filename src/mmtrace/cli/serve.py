"""Receive telemetry and show traces in a browser: one process, no Docker.

Takes OTLP over HTTP (and shows the pages) on --port, and OTLP over gRPC on --grpc-port. Point any OpenTelemetry program
at it:

  OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 mmtrace run python app.py

Telemetry is kept in a temporary file unless --store names one; at --max-bytes, the oldest traces are removed.
"""

import argparse
import gc
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

from mmtrace.cli import load_from_extra
from mmtrace.cli._values import port

if TYPE_CHECKING:
    from mmtrace.server.running import LocalServer

_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("--host", default="127.0.0.1", metavar="H", help="address to listen on")
    add("--port", type=port, default=4318, metavar="P", help="port of OTLP/HTTP, the query API and the pages")
    add("--grpc-port", type=port, default=4317, metavar="P", help="port of OTLP/gRPC")
    add("--store", type=Path, metavar="FILE", help="file to keep telemetry in (default: a temporary one)")
    add("--max-bytes", type=_size, default="1G", metavar="N", help="largest size of the store: a number, or 500M, 2G")
    add("--allow-host", action="append", default=[], metavar="NAME", help="serve requests for this host name too")
    add("--token", type=_token, metavar="T", help="ask for this token (default: none on this machine, else a new one)")


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; then everything that came is stored."""
    running = load_from_extra("mmtrace.server.running", "server")
    server = running.LocalServer(
        running.ServerOptions(
            host=arguments.host,
            port=arguments.port,
            grpc_port=arguments.grpc_port,
            store=arguments.store,
            max_bytes=arguments.max_bytes,
            allow_hosts=tuple(arguments.allow_host),
            token=arguments.token,
        )
    )
    with _stopped_by_signals(server.stop):
        gc.freeze()
        server.run(ready=lambda: print(_announcement(server, arguments), flush=True))
    return 0


@contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    def handle(_signal: int, _frame: FrameType | None) -> None:
        stop()

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _announcement(server: "LocalServer", arguments: argparse.Namespace) -> str:
    kept = arguments.store or "a temporary file, removed at the end"
    return "\n".join(
        [
            f"mmtrace serve: open {server.page}",
            f"  OTLP/HTTP  {server.url}",
            f"  OTLP/gRPC  {server.grpc_url}",
            f"  store      {kept}, at most {arguments.max_bytes:,} bytes",
            *([f"  token      {server.token}"] if server.token else []),
            "Ctrl-C ends it.",
        ]
    )


def _size(text: str) -> int:
    parts = re.fullmatch(r"(\d+)\s*([kmgKMG]?)(?:i?[bB])?", text)
    size = int(parts[1]) * _UNITS[parts[2].lower()] if parts else 0
    if size < 1 << 20:
        raise argparse.ArgumentTypeError(f"{text!r} is no size of at least 1M; give bytes, or a number with K, M or G")
    return size


def _token(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._~+/=-]{8,}", text):
        raise argparse.ArgumentTypeError("a token has at least 8 letters, digits or any of . _ ~ + / = -")
    return text
