"""Listening sockets, and who has a port that is taken."""

import errno
import socket
from contextlib import suppress
from pathlib import Path

from mmtrace.errors import CommandError

_LISTENING = "0A"


def address_of(host: str) -> str:
    """Return the address that `host` means, IPv4 first. Raises CommandError where it means none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise CommandError(f"there is no address for --host {host!r}: {error}", 2) from error
    found.sort(key=lambda info: info[0] != socket.AF_INET)
    return str(found[0][4][0])


def listen(address: str, port: int, option: str) -> socket.socket:
    """Return a socket that listens on `port`, which `option` changes. Raises CommandError where it cannot be had."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise _unavailable(address, port, option, error) from error
    return listener


def _unavailable(address: str, port: int, option: str, error: OSError) -> CommandError:
    if error.errno != errno.EADDRINUSE:
        return CommandError(f"cannot listen on {address} port {port}: {error.strerror}; choose another with {option}")
    who = program_on(port) or "a program (a Collector, Jaeger or another mmtrace serve?)"
    return CommandError(f"port {port} is in use by {who}; stop it, or choose another port with {option}")


def program_on(port: int) -> str | None:
    """Return name and process id of the program that listens on `port`, None where that cannot be seen."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(port)}
    for process in Path("/proc").glob("[0-9]*") if sockets else ():
        with suppress(OSError):
            if any(str(handle.readlink()) in sockets for handle in (process / "fd").iterdir()):
                return f"{_command(process)} (process {process.name})"
    return None


def _inodes(port: int) -> set[str]:
    found: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            rows = [line.split() for line in Path(table).read_text().splitlines()[1:]]
            found |= {row[9] for row in rows if row[3] == _LISTENING and int(row[1].rpartition(":")[2], 16) == port}
    return found


def _command(process: Path) -> str:
    words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    return " ".join(word for word in words[:3] if word) or (process / "comm").read_text().strip()
