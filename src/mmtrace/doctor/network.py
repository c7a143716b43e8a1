"""What is at an address: whether the host is known, whether somebody listens, and what it speaks."""

import errno
import ipaddress
import os
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

Reached: TypeAlias = Literal["open", "unknown host", "refused", "no route", "silent"]

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""How a client of HTTP/2 begins, with empty SETTINGS. Source: RFC 9113, 3.4."""
_NO_ROUTE: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EACCES})
_TLS_RECORD: Final = (b"\x15\x03", b"\x16\x03")


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen at an address; `addresses` are those of the host.

    `speaks`: `http/1`, `http/2`, `tls`, or nothing known. `untrusted`: why the certificate is not trusted.
    """

    reached: Reached
    addresses: tuple[str, ...] = ()
    speaks: str = ""
    untrusted: str = ""


def look(host: str, port: int, seconds: float, certificate: str | None = None) -> Seen:
    """Look at an address; `certificate`: the file with the certificates to trust. Never raises OSError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return Seen("unknown host")
    addresses = tuple(dict.fromkeys(str(place[0]) for *_, place in found))
    reached = _reached(addresses, port, seconds)
    if reached != "open":
        return Seen(reached, addresses)
    speaks = _speaks(host, port, seconds)
    return Seen("open", addresses, speaks, _distrust(host, port, seconds, certificate) if speaks == "tls" else "")


def is_open(host: str, port: int, seconds: float) -> bool:
    """Whether somebody listens there."""
    return _reached((host,), port, seconds) == "open"


def is_loopback(addresses: Sequence[str]) -> bool:
    """Whether all addresses are this very machine's own world."""
    return all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in addresses)


def is_own(address: str) -> bool:
    """Whether `address` is one of this machine."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family) as own:
            own.bind((address, 0))
    except OSError:
        return False
    return True


def in_container(root: Path = Path("/")) -> bool:
    """Whether this process runs in a container, by the files that Docker, Podman and Kubernetes leave there."""
    if any((root / name).exists() for name in (".dockerenv", "run/.containerenv", "var/run/secrets/kubernetes.io")):
        return True
    return root == Path("/") and "KUBERNETES_SERVICE_HOST" in os.environ


def _reached(addresses: Sequence[str], port: int, seconds: float) -> Reached:
    """Return the best that any of the addresses says: an answer says more than none."""
    found = {_tried(address, port, seconds) for address in addresses}
    return next(reached for reached in ("open", "refused", "no route", "silent") if reached in found)


def _tried(address: str, port: int, seconds: float) -> Reached:
    try:
        socket.create_connection((address, port), seconds).close()
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return "no route" if error.errno in _NO_ROUTE else "silent"
    return "open"


def _speaks(host: str, port: int, seconds: float) -> str:
    try:
        with socket.create_connection((host, port), seconds) as connection:
            connection.sendall(_PREFACE)
            first = connection.recv(16)
    except OSError:
        first = b""
    if first[:2] == b"\0\0" and first[3:4] == b"\x04":
        return "http/2"
    if first.startswith(b"HTTP/1"):
        return "http/1"
    return "tls" if first.startswith(_TLS_RECORD) or _has_tls(host, port, seconds) else ""


def _has_tls(host: str, port: int, seconds: float) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return _handshake(context, host, port, seconds) == ""


def _distrust(host: str, port: int, seconds: float, certificate: str | None) -> str:
    try:
        context = ssl.create_default_context(cafile=certificate)
    except OSError as error:
        return f"{certificate}: {error.strerror}"
    return _handshake(context, host, port, seconds)


def _handshake(context: ssl.SSLContext, host: str, port: int, seconds: float) -> str:
    """Return what is wrong with a handshake, nothing where it succeeds."""
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        with (
            socket.create_connection((host, port), seconds) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return ""
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except OSError as error:
        return str(error)
