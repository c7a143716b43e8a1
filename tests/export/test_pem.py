"""Files of TLS that can never work are refused when the exporter is made, with the reason."""

import subprocess

import pytest

from mmtrace.errors import ConfigurationError
from mmtrace.export.pem import check
from mmtrace.export.target import Target


def test_files_that_fit_are_taken(certificates):
    certificate, key = certificates
    check(Target("https://x", certificate=certificate, client_certificate=certificate, client_key=key))


def test_a_file_that_is_no_certificate_is_refused(tmp_path):
    (tmp_path / "odd.pem").write_text("not a certificate")
    with pytest.raises(ConfigurationError, match=r"odd\.pem' holds no certificate in PEM"):
        check(Target("https://x", certificate=str(tmp_path / "odd.pem")))


def test_a_key_without_its_certificate_is_refused(certificates):
    with pytest.raises(ConfigurationError, match="OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"):
        check(Target("https://x", client_key=certificates[1]))


@pytest.mark.parametrize(
    ("options", "match"),
    [((), "cannot be used"), (("-aes256", "-pass", "pass:hush"), "encrypted")],
    ids=["another key", "an encrypted key"],
)
def test_a_key_that_cannot_be_used_is_refused(certificates, tmp_path, options, match):
    key = tmp_path / "key.pem"
    command = [
        "openssl",
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        *options,
        "-out",
        str(key),
    ]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(ConfigurationError, match=match):
        check(Target("https://x", client_certificate=certificates[0], client_key=str(key)))
