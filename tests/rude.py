"""Receivers that a test writes by hand, byte by byte: what no well-kept server would do."""

import contextlib
import re
import socket
import threading


class Rude:
    """Runs `serve(connection)` for each connection, one after the other; `url` is its address."""

    def __init__(self, serve):
        self._serve = serve
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._ended = False
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.connections = 0
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while True:
            connection, _ = self._socket.accept()
            with connection:
                if self._ended:
                    return
                self.connections += 1
                connection.settimeout(5)
                with contextlib.suppress(OSError):
                    self._serve(connection)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended = True
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        self._socket.close()


def read_request(connection):
    """Read one request, with its body where it has a Content-Length; nothing where the connection was closed."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += (more := connection.recv(65536))
        if not more:
            return b""
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    while length and len(body) < int(length[1]):
        body += connection.recv(65536)
    return data


def reset(connection):
    """End a connection by a reset, as a program that crashes or a load balancer does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()
