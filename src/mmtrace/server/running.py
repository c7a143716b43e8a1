"""The server as it runs: its ports, its store, and an end at which everything that came is stored."""

import contextlib
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

import uvicorn
from opentelemetry import context
from starlette.applications import Starlette
from typing_extensions import Self

from mmtrace.errors import CommandError
from mmtrace.server.app import create_app
from mmtrace.server.ingest.grpc_server import GrpcReceiver
from mmtrace.server.ports import address_of, listen
from mmtrace.server.security import Security, is_loopback
from mmtrace.server.store import DEFAULT_MAX_BYTES, Store, StoreError

HTTP_PORT: Final = 4318
GRPC_PORT: Final = 4317

_GRACE: Final = 3
"""Seconds that open requests have to finish when the server ends."""
_KEEP_ALIVE: Final = 65
"""Seconds that an idle connection stays open: longer than exporters wait between two batches."""


@contextlib.contextmanager
def _untraced() -> Iterator[None]:
    """Keep instrumentations of this process off the server: what it receives would tell that it received something."""
    token = context.attach(context.set_value(context._SUPPRESS_INSTRUMENTATION_KEY, True))
    try:
        yield
    finally:
        context.detach(token)


@dataclass(frozen=True)
class ServerOptions:
    """How to run; port 0 takes any free one, `store` None a temporary file, and `token` None makes one where needed."""

    host: str = "127.0.0.1"
    port: int = HTTP_PORT
    grpc_port: int = GRPC_PORT
    store: Path | None = None
    max_bytes: int = DEFAULT_MAX_BYTES
    allow_hosts: tuple[str, ...] = ()
    token: str | None = None


class LocalServer:
    """The receiver, the query API and the pages on one store.

    Either `run()` it in this thread until `stop()`, or use it as a context manager that runs it in a thread of its own.
    """

    def __init__(self, options: ServerOptions) -> None:
        """Take the ports and open the store. Raises CommandError where that cannot be done."""
        self._address = address_of(options.host)
        self._options = options
        self.token = options.token or (None if is_loopback(self._address) else secrets.token_urlsafe(24))
        with contextlib.ExitStack() as stack:
            self._http = stack.enter_context(listen(self._address, options.port, "--port"))
            self.store = stack.enter_context(_open(options))
            with _untraced():
                self._grpc = GrpcReceiver(self.store, self.token)
            self.grpc_port = self._bind_grpc()
            self._open = stack.pop_all()
        security = Security.of([options.host, *options.allow_hosts], self.token)
        self._server = _Uvicorn(create_app(self.store, security), self.store)
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port of OTLP/HTTP, the query API and the pages."""
        return int(self._http.getsockname()[1])

    @property
    def url(self) -> str:
        """The address for OTLP/HTTP and the pages."""
        return f"http://{self._name}:{self.port}"

    @property
    def grpc_url(self) -> str:
        """The address for OTLP/gRPC."""
        return f"http://{self._name}:{self.grpc_port}"

    @property
    def page(self) -> str:
        """The address to open in a browser; it brings the token along where there is one."""
        return f"{self.url}/?token={self.token}" if self.token else f"{self.url}/"

    def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Serve until `stop()`, then store everything that came and close; calls `ready` once it serves."""
        self._server.ready = ready
        try:
            with _untraced():
                self._grpc.start()
                self._server.run(sockets=[self._http])
        finally:
            self.close()

    def stop(self) -> None:
        """Ask `run()` to end; from any thread or from a signal handler."""
        self._server.should_exit = True

    def close(self) -> None:
        """Close what is open; idempotent."""
        self._grpc.stop(_GRACE)
        self._open.close()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.run, name="mmtrace-server")
        self._thread.start()  # whoever connects from now on waits until it serves: the ports are open already
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        if self._thread:
            self._thread.join()

    @property
    def _name(self) -> str:
        address = self._address
        if address in {"0.0.0.0", "::"}:  # noqa: S104  # any address: this one works from here
            return "localhost"
        return f"[{address}]" if ":" in address else address

    def _bind_grpc(self) -> int:
        """Bind the gRPC port; a socket of ours tries it first, because grpc does not say why it cannot."""
        with listen(self._address, self._options.grpc_port, "--grpc-port") as probe:
            port = probe.getsockname()[1]
        try:
            return self._grpc.bind(self._address, port)
        except RuntimeError as error:
            raise CommandError(f"cannot listen on port {port}: {error}; choose another with --grpc-port") from error


@contextlib.contextmanager
def _open(options: ServerOptions) -> Iterator[Store]:
    try:
        store = Store(options.store, max_bytes=options.max_bytes)
    except StoreError as error:
        raise CommandError(str(error)) from error
    with store:
        yield store


class _Uvicorn(uvicorn.Server):
    """Leaves signals to whoever runs it, says when it is ready, and ends live pages before it ends."""

    def __init__(self, app: Starlette, store: Store) -> None:
        config = uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=_GRACE,
        )
        super().__init__(config)
        self.ready: Callable[[], None] = lambda: None
        self._store = store

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signals."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self.ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End live pages, then everything else."""
        self._store.end_subscriptions()
        await super().shutdown(sockets)
