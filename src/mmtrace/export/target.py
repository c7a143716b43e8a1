"""Where one signal goes over OTLP, and how."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

Compression: TypeAlias = Literal["none", "gzip", "deflate"]
"""How the body of a request is compressed."""


@dataclass(frozen=True, slots=True)
class Target:
    """One receiver for one signal.

    `url`: for HTTP the whole address with its path; for gRPC `http(s)://host:port`, or any target that gRPC knows.
    `timeout`: seconds for one request. `certificate`, `client_key`, `client_certificate`: files in PEM. `insecure`:
    gRPC without TLS where the url has no scheme. `proxy`: the address of an HTTP proxy.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    compression: Compression = "none"
    timeout: float = 10.0
    certificate: str | None = None
    client_key: str | None = None
    client_certificate: str | None = None
    insecure: bool = False
    proxy: str | None = field(default=None, repr=False)

    @property
    def where(self) -> str:
        """The address without what may be secret: user, password, query."""
        parts = urlsplit(self.url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()

    @property
    def files(self) -> tuple[str | None, str | None, str | None]:
        """The files of TLS: certificate, client certificate, client key."""
        return self.certificate, self.client_certificate, self.client_key
