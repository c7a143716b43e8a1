"""A slowed model raises an alert that names it, and the alert ends when the model is fast again."""

import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from backends.running import until
from backends.stack import Alertmanager, Jaeger, Prometheus, agent, gateway

SERVICE = Path(__file__).parent / "services" / "moody.py"
OBJECTIVES = """\
services:
  moody-service:
    models:
      moody-model: {latency: 0.25, p95: 0.25, p99: 0.25}
"""


def rules(folder):
    """Write the rules that `mmtrace rules` makes of these objectives, with seconds for minutes, hours and days."""
    objectives, file = folder / "objectives.yml", folder / "moody.rules.yml"
    objectives.write_text(OBJECTIVES)
    command = [
        sys.executable,
        "-m",
        "mmtrace",
        "rules",
        objectives,
        "--rules",
        file,
        "--dashboards",
        folder / "dashboards",
    ]
    subprocess.run(command, check=True, capture_output=True)
    made = yaml.safe_load(file.read_text())
    for group in made["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            rule["expr"] = re.sub(r"\[\d+[mhd]\]", "[10s]", rule["expr"])
            if "for" in rule:
                rule["for"] = "2s"
    file.write_text(yaml.safe_dump(made))
    return file


class Webhook:
    """Keeps the messages of Alertmanager."""

    def __enter__(self):
        messages = self.messages = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def alerts(self, status, model):
        told = [alert for message in self.messages for alert in message["alerts"]]
        return [alert for alert in told if alert["status"] == status and alert["labels"].get("model") == model]

    def ended(self, firing):
        resolved = self.alerts("resolved", firing["labels"]["model"])
        return any(alert["fingerprint"] == firing["fingerprint"] for alert in resolved)


@pytest.fixture
def webhook():
    with Webhook() as hook:
        yield hook


@pytest.fixture
def receiver_url(tmp_path, webhook):
    """Where the service sends: an agent before a gateway before a Prometheus with the rule, before Alertmanager."""
    made = rules(tmp_path)

    def changes(config):
        config["global"] |= {"evaluation_interval": "1s"}
        config |= {"rule_files": [str(made)], "scrape_configs": []}
        config["alerting"]["alertmanagers"][0]["static_configs"] = [{"targets": [alertmanager.target]}]

    with (
        Alertmanager(tmp_path / "alertmanager", webhook.url) as alertmanager,
        Prometheus(tmp_path / "prometheus", "prometheus3.yml", changes) as prometheus,
        Jaeger(tmp_path / "jaeger") as jaeger,
        gateway(tmp_path / "gateway", jaeger=jaeger.endpoint, prometheus=prometheus.otlp) as behind,
        agent(tmp_path / "agent", behind.grpc_port) as first,
    ):
        yield first.url


@pytest.fixture
def slow(tmp_path, receiver_url):
    """A file that makes the model of a running service slow while it exists."""
    switch = tmp_path / "slow"
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver_url, "OTEL_METRIC_EXPORT_INTERVAL": "500"}
    command = [sys.executable, SERVICE, switch]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, **settings}) as service:
        yield switch
        service.stdin.close()
        assert service.wait(300) == 0


def test_a_slowed_model_raises_an_alert_that_names_it_and_ends_when_it_is_fast_again(slow, webhook):
    slow.touch()
    (firing, *_) = until(lambda: webhook.alerts("firing", "moody-model"), 90, "the alert arrives")
    assert firing["labels"]["job"] == "moody-service"
    assert firing["labels"]["alertname"].startswith(("MMTraceP9", "MMTraceLatencyBudgetBurn"))
    assert "moody-model" in firing["annotations"]["summary"]
    assert not webhook.alerts("resolved", "moody-model")
    slow.unlink()
    until(lambda: webhook.ended(firing), 90, "the alert is resolved")
