"""Hosts and ports as addresses of every make write them."""

from typing import Any
from urllib.parse import unquote


def attributes_of(authority: str, host_key: str, port_key: str, port: int | None = None) -> dict[str, Any]:
    """Return host and port of `user:password@host:port` under two keys, `port` where none is written.

    A host may be an IPv6 address, in brackets or percent-encoded; nothing comes back where there is none.
    """
    name = unquote(authority.rpartition("@")[2])
    host, _, number = name.rpartition(":")
    if not host or (":" in host and not host.startswith("[")) or not (number.isdecimal() or not number):
        host, number = name, ""
    found = {host_key: host.strip("[]").lower(), port_key: int(number) if number else port}
    return {key: value for key, value in found.items() if value} if found[host_key] else {}
