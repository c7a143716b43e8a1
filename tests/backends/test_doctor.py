"""The doctor on the real Jaeger and the real Collector: what it says where all is well, and where ports are swapped."""

import os
import subprocess
import sys

import pytest

from backends.stack import Jaeger, gateway


@pytest.fixture(scope="module")
def jaeger(folder):
    with Jaeger(folder / "jaeger-doctor") as running:
        yield running


def doctor(*options):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-m", "mmtrace", "doctor", "--service", "examined", "--spool", "off", *options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stderr == ""
    return done.returncode, " ".join(done.stdout.split())


def test_a_probe_is_read_back_from_jaeger(jaeger):
    code, said = doctor("--protocol", "grpc", "--endpoint", f"http://{jaeger.endpoint}", "--query", jaeger.url)
    assert (code, "ok the probe was read back" in said) == (0, True), said
    assert "metrics: http" in said and "Jaeger, for one, takes traces only" in said
    assert "examined" in jaeger.services()


def test_a_probe_is_read_back_through_a_collector(jaeger, folder):
    with gateway(folder / "gateway-doctor", "gateway-keep-all.yaml", jaeger=jaeger.endpoint) as collector:
        code, said = doctor("--endpoint", collector.url, "--query", jaeger.url, "--wait", "30")
    assert (code, "ok the probe was read back" in said) == (0, True), said
    assert "ok metrics" in said and "ok logs" in said


def test_http_on_the_port_of_grpc_is_named(jaeger):
    code, said = doctor("--endpoint", f"http://{jaeger.endpoint}")
    assert code == 1
    assert "as OTLP over gRPC does" in said and "OTEL_EXPORTER_OTLP_PROTOCOL=grpc" in said


def test_the_port_of_jaegers_pages_is_named(jaeger):
    code, said = doctor("--endpoint", jaeger.url)
    assert code == 1
    assert "PROBLEM traces" in said and "OTLP" in said
