"""Mistakes in the command line of the demo; tests/demo runs it."""

import pytest

from mmtrace import cli


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--seconds", "0"], 2, "argument --seconds: it must be a number above zero, not '0'"),
        (["--rate", "fast"], 2, "argument --rate: it must be a number above zero, not 'fast'"),
        (["--port", "99999"], 2, "argument --port: '99999' is no port"),
        (["--grpc-port", "x"], 2, "argument --grpc-port: 'x' is no port"),
        (["--otlp", "nonsense"], 2, "argument --otlp: 'nonsense' is no address like http://localhost:4318"),
        (["--otlp", "localhost:4318"], 2, "argument --otlp: 'localhost:4318' is no address"),
        (["--otlp", "http://host:99999"], 2, "argument --otlp: 'http://host:99999' is no address"),
        (["--report", "no/such/folder/report.json"], 1, "the report no/such/folder/report.json cannot be written"),
    ],
)
def test_a_mistake_is_one_line_before_anything_starts(capsys, arguments, code, said):
    assert cli.main(["demo", *arguments]) == code
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith(f"mmtrace: {said}")
    assert err.count("\n") == 1
