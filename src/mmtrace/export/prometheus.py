"""The endpoint that Prometheus scrapes, on a port of its own."""

import functools
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Final

from mmtrace.errors import ConfigurationError
from mmtrace.export.prometheus_page import Page, Source
from mmtrace.recording.forks import at_fork
from mmtrace.recording.guard import report

_PATIENCE: Final = 10.0
"""Seconds that a client may take for its request."""
_LAST_ANSWERS: Final = 1.0
"""Seconds that a stop waits for the answers under way."""


class PrometheusServer:
    """A server that answers every path with the metrics of `source`, from the moment it is made.

    A forked child does not answer: it lets go of the port, so that it does not hold it when its parent has gone.

    Raises:
        ConfigurationError: the port is in use, or the host has no such address.
    """

    def __init__(self, source: Source, host: str = "localhost", port: int = 9464) -> None:
        self._server: _Server | None = _listen(Page(source), host, port)
        self.host, self.port = self._server.server_address[:2]
        self._thread = threading.Thread(target=self._server.serve, name="mmtrace-prometheus", daemon=True)
        self._thread.start()
        at_fork(self, in_child=PrometheusServer.start_over)

    def close(self) -> None:
        """Stop answering and free the port; answers under way get a second."""
        server, self._server = self._server, None
        if server is not None:
            server.wake_and_end()
            self._thread.join(_LAST_ANSWERS)
            server.server_close()

    def start_over(self) -> None:
        """Let go of the port in a forked child, where nobody answers."""
        server, self._server = self._server, None
        if server is not None:
            server.socket.close()


class _Handler(BaseHTTPRequestHandler):
    """Answers one request with `page`; says nothing on standard error."""

    server_version = "mmtrace"
    sys_version = ""
    timeout = _PATIENCE

    def __init__(self, page: Page, *given: Any) -> None:
        self._page = page
        super().__init__(*given)

    def do_GET(self) -> None:
        """Send the metrics."""
        headers, body = self._page.render(self.headers.get("Accept", ""), self.headers.get("Accept-Encoding", ""))
        self.send_response(200)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815  # http.server decides on the names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # http.server's own name
        """Say nothing."""


class _Server(ThreadingMixIn, TCPServer):
    """One thread a request, so that a client that hangs keeps no other waiting."""

    allow_reuse_address = True
    request_queue_size = 32

    def __init__(self, page: Page, family: socket.AddressFamily, address: tuple[Any, ...]) -> None:
        self.address_family = family
        self._ending = False
        self._answering: set[threading.Thread] = set()
        super().__init__(address, functools.partial(_Handler, page))

    def serve(self) -> None:
        """Answer until `wake_and_end`; unlike `serve_forever` it sleeps until somebody asks."""
        while not self._ending:
            self.handle_request()

    def wake_and_end(self) -> None:
        """Let `serve` return: the connection wakes it."""
        self._ending = True
        try:
            socket.create_connection(self.socket.getsockname()[:2], _PATIENCE).close()
        except OSError:
            pass

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Answer nobody after the end."""
        return not self._ending

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread that `server_close` knows and that keeps no process alive."""
        thread = threading.Thread(target=self._answer, args=(request, client_address), daemon=True)
        self._answering.add(thread)
        thread.start()

    def _answer(self, request: Any, client_address: Any) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            self._answering.discard(threading.current_thread())

    def server_close(self) -> None:
        """Free the port and wait for the answers under way, but not for ever."""
        super().server_close()
        deadline = time.monotonic() + _LAST_ANSWERS
        for thread in list(self._answering):
            thread.join(max(0.0, deadline - time.monotonic()))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report instead of printing: a client that went away is no news."""
        report("prometheus.answer", "mmtrace: a scrape of the metrics could not be answered", sys.exc_info()[1])


def _listen(page: Page, host: str, port: int) -> _Server:
    if not 0 <= port <= 65535:
        raise ConfigurationError(
            f"metrics cannot be served on port {port}: set OTEL_EXPORTER_PROMETHEUS_PORT to 0..65535"
        )
    try:
        family, address = _address(host, port)
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(
            f"metrics cannot be served on the host {host!r} ({error}): set OTEL_EXPORTER_PROMETHEUS_HOST"
        ) from error
    try:
        return _Server(page, family, address)
    except OSError as error:
        raise ConfigurationError(
            f"metrics cannot be served on port {port} of {host} ({error}): stop the program that listens there "
            f"(`ss -ltnp 'sport = :{port}'` names it), or set OTEL_EXPORTER_PROMETHEUS_PORT to another port, 0 for any"
        ) from error


def _address(host: str, port: int) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """Return where to listen; of several addresses of a name the one of IPv4, which most scrapers try."""
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    return family, address
