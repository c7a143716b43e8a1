"""Log records of a traced service in a real Loki, behind agent and gateway: found by service, joined to their trace."""

import os
import subprocess
import sys

import pytest
import yaml

from backends.running import CONFIG, Running, until
from backends.stack import HOST, Jaeger, agent, gateway, get
from ports import free_port

SERVICE = """
import logging, sys, mmtrace
mmtrace.configure(service="reranker", log_handlers="otlp")
with mmtrace.model_call("bge", task="rerank") as call:
    logging.getLogger("app").warning("anna@example.org waited %d ms", 412)
    sys.stdout.write(format(call.span.get_span_context().trace_id, "032x"))
mmtrace.flush(timeout=10)
"""


class Loki(Running):
    """Loki with the shipped file, its folder and ports put in."""

    def __init__(self, folder):
        port = free_port()
        self.url = f"http://{HOST}:{port}"
        config = yaml.safe_load((CONFIG / "loki.yaml").read_text().replace("/loki", str(folder)))
        config["server"] |= {"http_listen_address": HOST, "http_listen_port": port, "grpc_listen_port": free_port()}
        folder.mkdir()
        (folder / "loki.yaml").write_text(yaml.safe_dump(config))
        super().__init__("loki", [f"-config.file={folder / 'loki.yaml'}"], folder, f"{self.url}/ready")

    def stop(self):
        """It keeps nothing that is worth a farewell."""
        self.kill()

    def streams(self, selector):
        return get(f"{self.url}/loki/api/v1/query_range", {"query": selector})["data"]["result"]


@pytest.fixture
def loki(tmp_path):
    with Loki(tmp_path / "loki") as running:
        yield running


def test_a_log_record_is_found_by_its_service_and_names_its_trace(tmp_path, loki):
    with (
        Jaeger(tmp_path / "jaeger") as jaeger,
        gateway(tmp_path / "gateway", jaeger=jaeger.endpoint, loki=f"{loki.url}/otlp") as behind,
        agent(tmp_path / "agent", behind.grpc_port) as first,
    ):
        environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": first.url}
        command = [sys.executable, "-c", SERVICE]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=300)
        (stream,) = until(lambda: loki.streams('{service_name="reranker"}'), 60)
    ((_, line),) = stream["values"]
    assert stream["stream"]["trace_id"] == done.stdout
    assert stream["stream"]["severity_text"] == "WARNING"
    assert line == "**** waited 412 ms"
