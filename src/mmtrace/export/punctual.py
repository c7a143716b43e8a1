"""Connections that keep one deadline for a whole answer, however slowly it drips.

A socket's timeout is for one read, and starts anew with each byte. http.client reads an answer through the file of its
response, so that is where the time that is left is set before every read.
"""

import http.client
import io
import queue
import socket
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from mmtrace.transport.clock import now

_NO_TIME = 0.001


class _Reader(io.RawIOBase):
    """Reads from a socket until the timeout that it has now is over."""

    def __init__(self, sock: socket.socket, raw: Any) -> None:
        super().__init__()
        self._sock = sock
        self._raw = raw
        self._end = now() + (sock.gettimeout() or 0.0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(max(self._end - now(), _NO_TIME))
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_Reader(sock, self.fp.detach()))


class _Connection(HTTPConnection):
    response_class = _Response


class _SecureConnection(HTTPSConnection):
    response_class = _Response


class _Idle:
    """The idle connections of a pool that one thread uses at a time; the usual queue may be one of gevent."""

    def __init__(self, size: int) -> None:
        self._items: list[Any] = []

    def put(self, item: Any, block: bool = True) -> None:  # noqa: FBT001, FBT002 - urllib3 calls it so
        self._items.append(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: FBT001, FBT002
        try:
            return self._items.pop()
        except IndexError:
            raise queue.Empty from None

    def qsize(self) -> int:
        return len(self._items)


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls: Any = _Connection
    QueueCls: Any = _Idle


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls: Any = _SecureConnection
    QueueCls: Any = _Idle


def make_punctual(manager: urllib3.PoolManager) -> None:
    """Let the connections of `manager` keep the total of their timeout over all reads of an answer."""
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
