"""Bodies of requests: read and unpacked up to a limit, whatever their headers say."""

import zlib
from typing import Final

from starlette.requests import ClientDisconnect, Request
from typing_extensions import Self

from mmtrace.server.refusals import Refusal

LIMIT: Final = 16 << 20
"""Bytes of a body, and of what it unpacks to."""
_DRAINED: Final = 4 * LIMIT
"""Bytes of a body that are read at most, though most of them are forgotten."""
_IN_FLIGHT: Final = 4 * LIMIT
"""Bytes of all bodies that are being read or decoded at a time."""

_GZIP: Final = zlib.MAX_WBITS | 16
_ZLIB: Final = zlib.MAX_WBITS
_RAW: Final = -zlib.MAX_WBITS


class Room:
    """How many bytes of bodies the server holds at a time; for one event loop."""

    def __init__(self) -> None:
        self._taken = 0

    def take(self, size: int) -> bool:
        """Take room for `size` bytes, or return False where there is none."""
        if self._taken + size > _IN_FLIGHT:
            return False
        self._taken += size
        return True

    def give_back(self, size: int) -> None:
        """Give room back."""
        self._taken -= size


class Body:
    """The body of one request with the room that it takes; a context manager gives the room back.

    A sender reads the answer only after it has sent all: what is not taken is read to its end and forgotten.
    """

    def __init__(self, request: Request, room: Room) -> None:
        self._request = request
        self._room = room
        self._taken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._room.give_back(self._taken)

    async def read(self) -> bytes:
        """Return the whole body as it was sent. Raises Refusal where it is too large or does not arrive."""
        length = self._request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > _DRAINED:
            raise too_large()
        try:
            return await self._read()
        except ClientDisconnect as error:
            raise Refusal(400, "the body ended early") from error

    async def _read(self) -> bytes:
        chunks: list[bytes] = []
        size = 0
        refusal: Refusal | None = None
        async for chunk in self._request.stream():
            size += len(chunk)
            if size > LIMIT:
                refusal = too_large()
            elif refusal is None and not self._take(len(chunk)):
                refusal = Refusal(503, "too many requests at a time; send this one again", {"Retry-After": "1"})
            if refusal is None:
                chunks.append(chunk)
            elif size > _DRAINED:
                break
            else:
                chunks.clear()
        if refusal is not None:
            raise refusal
        return b"".join(chunks)

    def _take(self, size: int) -> bool:
        taken = self._room.take(size)
        self._taken += size if taken else 0
        return taken


def too_large() -> Refusal:
    """Return what is said of a body over the limit."""
    return Refusal(413, f"the body is, or unpacks to, more than {LIMIT >> 20} MiB; send smaller batches")


def unpack(body: bytes, encoding: str) -> bytes:
    """Return `body` unpacked, `encoding` as in Content-Encoding.

    Raises Refusal for an unknown encoding, for damaged bytes and for more than the limit; no more is ever unpacked.
    """
    if encoding in {"", "identity"}:
        return body
    if encoding in {"gzip", "x-gzip"}:
        return _inflate(body, _GZIP)
    if encoding == "deflate":
        return _inflate(body, _ZLIB if body[:1] == b"\x78" else _RAW)
    raise Refusal(415, f"the content encoding {encoding[:40]!r} is not known; send gzip, deflate or identity")


def _inflate(body: bytes, window: int) -> bytes:
    unpacked = bytearray()
    rest = body
    while rest:  # gzip may have several members
        member = zlib.decompressobj(window)
        try:
            unpacked += member.decompress(rest, LIMIT + 1 - len(unpacked))
        except zlib.error as error:
            raise Refusal(400, f"the compressed body is damaged: {error}") from error
        if len(unpacked) > LIMIT:
            raise too_large()
        if not member.eof:
            raise Refusal(400, "the compressed body ends early")
        rest = member.unused_data
    return bytes(unpacked)
