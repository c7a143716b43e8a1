"""Why a receiver over HTTP cannot be reached, and what would be right, from what urllib3 and OpenSSL say."""

from http.client import BadStatusLine
from typing import Final

from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from mmtrace.export.ports import mistaken
from mmtrace.export.target import Target

HTTP_PORT: Final = 4318
_USE_HTTP_PORT: Final = "Use the port of OTLP over HTTP, 4318 as a rule, or set OTEL_EXPORTER_OTLP_PROTOCOL=grpc"

_TLS: Final = (
    (
        ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "record layer failure"),
        "it speaks no TLS. Set the endpoint to http:// in place of https://",
    ),
    (("NO_APPLICATION_PROTOCOL",), f"it speaks HTTP/2 only, as OTLP over gRPC does. {_USE_HTTP_PORT}"),
    (
        ("CERTIFICATE_REQUIRED", "ALERT_BAD_CERTIFICATE", "HANDSHAKE_FAILURE", "ALERT_UNKNOWN_CA"),
        "it wants a certificate of ours ({error}). OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and _CLIENT_KEY name it",
    ),
    (
        ("Hostname mismatch", "IP address mismatch", "doesn't match"),
        "its certificate is for another name ({error}). Set the endpoint to a name that the certificate has",
    ),
    (("has expired", "not yet valid"), "the time of its certificate is not now ({error})"),
    (
        ("EOF occurred",),
        "it ended the connection of TLS: it wants OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and _CLIENT_KEY, or has no TLS",
    ),
)
"""What OpenSSL says, and what it means; whatever else goes wrong with TLS is a certificate that is not trusted."""
_NOT_TRUSTED: Final = "TLS failed ({error}); OTEL_EXPORTER_OTLP_CERTIFICATE names the certificate to trust"


def unreachable(target: Target, error: HTTPError, seconds: float) -> str:
    """Return what went wrong with a request that got no answer within `seconds`, and what would be right."""
    return f"{target.where} cannot be reached: {_reason(error, seconds)}{mistaken(target.url, HTTP_PORT)}"


def _reason(error: HTTPError, seconds: float) -> str:
    if isinstance(error, ProxyError):
        return _of_proxy(error)
    if isinstance(error, NameResolutionError):
        return "its host name is unknown"
    if isinstance(error, NewConnectionError):
        return (
            "nobody listens there. Start a receiver there (`mmtrace serve`, a Collector), or set "
            "OTEL_EXPORTER_OTLP_ENDPOINT"
        )
    if isinstance(error, (ConnectTimeoutError, ReadTimeoutError)):
        return f"no answer within {seconds:.3g} seconds"
    if isinstance(error, SSLError) or _tls_said(error):
        return _of_tls(error)
    return _of_first_bytes(error) or f"the connection broke ({error})"


def _of_proxy(error: ProxyError) -> str:
    cause = str(error.original_error)
    if "407" in cause:
        return "the proxy asks for user and password, which go into the address of the proxy"
    if "Tunnel connection failed" in cause:
        return f"the proxy refuses to connect to it ({cause}). NO_PROXY names the hosts that need no proxy"
    return f"the proxy does not answer ({error}). NO_PROXY names the hosts that need no proxy"


def _tls_said(error: HTTPError) -> bool:
    """Whether it is an alert of TLS that came when the handshake was over, as one for a missing certificate does."""
    return "[SSL" in str(error)


def _of_tls(error: HTTPError) -> str:
    said = str(error)
    for signs, meaning in _TLS:
        if any(sign in said for sign in signs):
            return meaning.format(error=said)
    return _NOT_TRUSTED.format(error=said)


def _of_first_bytes(error: HTTPError) -> str:
    """Return what somebody speaks who does not begin with a status line."""
    cause = error.args[-1] if isinstance(error, ProtocolError) and error.args else None
    line = str(cause) if isinstance(cause, BadStatusLine) else ""
    if line.startswith("\0\0") and line[3:4] == "\x04":  # a SETTINGS frame: RFC 9113, 3.4 and 6.5
        return f"it speaks HTTP/2, as OTLP over gRPC does. {_USE_HTTP_PORT}"
    if line.startswith(("\x15\x03", "\x16\x03")):  # an alert or a handshake of TLS: RFC 8446, 5.1
        return "it speaks TLS. Set the endpoint to https:// in place of http://"
    return ""
