"""A slowed model raises an alert that names it, and the alert ends when the model is fast again."""

import json
import os
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
RULES = {
    "groups": [
        {
            "name": "short-windows",
            "interval": "1s",
            "rules": [
                {
                    "alert": "MMTraceP95High",
                    "expr": "histogram_quantile(0.95, sum by (le, job, model) "
                    "(rate(mmtrace_model_call_duration_seconds_bucket[10s]))) > 0.25",
                    "for": "2s",
                    "labels": {"severity": "ticket"},
                    "annotations": {"summary": "p95 {{ $value | humanizeDuration }} on {{ $labels.model }}"},
                }
            ],
        }
    ]
}


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

    def alerts(self, status):
        return [alert for message in self.messages for alert in message["alerts"] if alert["status"] == status]


@pytest.fixture
def webhook():
    with Webhook() as hook:
        yield hook


@pytest.fixture
def receiver_url(tmp_path, webhook):
    """Where the service sends: an agent before a gateway before a Prometheus with the rule, before Alertmanager."""
    rules = tmp_path / "rules.yml"
    rules.write_text(yaml.safe_dump(RULES))

    def changes(config):
        config["global"] |= {"evaluation_interval": "1s"}
        config |= {"rule_files": [str(rules)], "scrape_configs": []}
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
        assert service.wait(30) == 0


def test_a_slowed_model_raises_an_alert_that_names_it_and_ends_when_it_is_fast_again(slow, webhook):
    slow.touch()
    (firing, *_) = until(lambda: webhook.alerts("firing"), 90, "the alert arrives")
    assert firing["labels"]["model"] == "moody-model"
    assert firing["labels"]["job"] == "moody-service"
    assert "moody-model" in firing["annotations"]["summary"]
    assert not webhook.alerts("resolved")
    slow.unlink()
    (resolved, *_) = until(lambda: webhook.alerts("resolved"), 90, "the alert is resolved")
    assert resolved["labels"] == firing["labels"]
