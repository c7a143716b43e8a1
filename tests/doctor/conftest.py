"""The receivers of the tests of exporters, and what runs the doctor on them."""

import json

import pytest

from export.conftest import certificates, grpc_receiver, http_receiver, https_receiver
from mmtrace.cli import main
from ports import free_port

__all__ = ["certificates", "grpc_receiver", "http_receiver", "https_receiver"]


@pytest.fixture
def doctor(monkeypatch, capsys, tmp_path):
    """Run `mmtrace doctor` with options and variables; return its exit code and what it said, in one line."""
    monkeypatch.setenv("GRPC_VERBOSITY", "NONE")
    monkeypatch.setenv("MMTRACE_SPOOL_DIR", str(tmp_path))

    def doctor(*options, **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        code = main(["doctor", "--service", "shop", "--limit", "3", "--wait", "1", *options])
        return code, " ".join(capsys.readouterr().out.split())

    return doctor


@pytest.fixture
def findings(doctor):
    """Run the doctor; return the findings of all sections as (level, text with advice)."""

    def findings(*options, **variables):
        code, said = doctor("--json", *options, **variables)
        told = json.loads(said)
        assert (code, told["healthy"]) in {(0, True), (1, False)}
        return [
            (finding["level"], f"{finding['text']} {finding['advice']}")
            for section in told["sections"]
            for finding in section["findings"]
        ]

    return findings


@pytest.fixture
def unused_port():
    return free_port()
