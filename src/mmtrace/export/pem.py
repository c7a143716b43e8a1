"""The files of TLS, tried when the exporter is made: a wrong one never works, and its user is there to read why."""

import os
import ssl

from mmtrace.errors import ConfigurationError
from mmtrace.export.target import Target


def check(target: Target) -> None:
    """Raise ConfigurationError where a file of TLS cannot be read, is no PEM, or does not fit the others."""
    for path in target.files:
        if path is not None and not os.access(path, os.R_OK):
            raise ConfigurationError(f"the certificate or key file {path!r} cannot be read")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _check_trusted(context, target.certificate)
    _check_own(context, target.client_certificate, target.client_key)


def _check_trusted(context: ssl.SSLContext, certificate: str | None) -> None:
    if certificate is None:
        return
    try:
        context.load_verify_locations(certificate)
    except ssl.SSLError as error:
        raise ConfigurationError(f"{certificate!r} holds no certificate in PEM: {_said(error)}") from error


def _check_own(context: ssl.SSLContext, certificate: str | None, key: str | None) -> None:
    if certificate is None:
        if key is not None:
            raise ConfigurationError(f"the client key {key!r} needs OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE beside it")
        return
    try:
        context.load_cert_chain(certificate, key, password=_refuse)
    except ssl.SSLError as error:
        raise ConfigurationError(
            f"the client certificate {certificate!r} and its key {key or certificate!r} cannot be used: {_said(error)}"
        ) from error


def _refuse() -> str:
    """Answer for the terminal, where OpenSSL would ask for a password and wait."""
    raise ConfigurationError("the client key is encrypted: OTLP exporters take keys without a password")


def _said(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()
