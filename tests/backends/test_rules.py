"""The alert rules by promtool, and on a Prometheus that runs: what the shipped tests say, and the user's own."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request

import pytest
import yaml

from backends.running import Running, executable, until
from backends.stack import Prometheus, get
from metric_names import used
from mmtrace import attributes as names
from mmtrace.rules import ApiLimits, Limits, Model, Objectives, dashboards, rule_file
from mmtrace.rules.rule_file import groups
from ports import free_port

OWN = Objectives(
    latency_buckets=(0.4,),
    models={
        Model("shop/reranker", "bge"): Limits(latency=0.4, target=0.99),
        Model("ocr", "a|b"): Limits(latency=5.0, errors=0.2),
        Model("ocr", 'with "quotes"'): Limits(latency=5.0, target=0.9),
    },
    api_models={Model("gateway", "gpt-5"): ApiLimits(latency=5.12)},
)


def promtool(*words):
    done = subprocess.run([executable("promtool"), *words], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


ELSEWHERE = ("otelcol_", "gen_ai_", "hw_", "mmtrace:", "process_memory_limit", "mmtrace_sdk_spans_dropped")
"""Beginnings of names that a service does not always send: of others, of GPUs, recorded, of a cgroup, of a loss."""


# --- promtool ---------------------------------------------------------------------------------------------------------


def test_promtool_finds_nothing_to_say_about_rules_for_objectives_of_ones_own(tmp_path):
    file = tmp_path / "own.rules.yml"
    file.write_text(rule_file(OWN))
    promtool("check", "rules", "--lint=all", "--lint-fatal", file)


@pytest.mark.parametrize("objectives", [Objectives(), OWN], ids=["defaults", "own"])
def test_promtool_takes_every_query_of_the_dashboards(tmp_path, objectives):
    exprs = sorted({expr for text in dashboards(objectives).values() for expr in queries(json.loads(text))})
    rules = [{"record": f"panel:query{number}", "expr": expr} for number, expr in enumerate(exprs)]
    file = tmp_path / "queries.rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    promtool("check", "rules", file)


def queries(dashboard):
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"].replace("$__rate_interval", "5m").replace("$", "")


@pytest.mark.parametrize("bound", ["5", "5.0"])
def test_a_whole_threshold_is_found_by_otlp_and_by_scraping_which_write_it_differently(tmp_path, bound):
    (tmp_path / "own.rules.yml").write_text(rule_file(OWN))
    series = 'mmtrace_model_call_duration_seconds{part}{{job="ocr", model="a|b", outcome="ok"{le}}}'
    half = {"series": series.format(part="_bucket", le=f', le="{bound}"'), "values": "0+1x20"}
    every = [
        {"series": series.format(part="_bucket", le=', le="+Inf"'), "values": "0+2x20"},
        {"series": series.format(part="_count", le=""), "values": "0+2x20"},
    ]
    expected = {"labels": '{__name__="mmtrace:model_call_slow:ratio_rate5m", job="ocr", model="a|b"}', "value": 0.5}
    asked = {"expr": "mmtrace:model_call_slow:ratio_rate5m", "eval_time": "10m", "exp_samples": [expected]}
    test = {"interval": "1m", "input_series": [half, *every], "promql_expr_test": [asked]}
    file = tmp_path / "own.test.yml"
    file.write_text(yaml.safe_dump({"rule_files": ["own.rules.yml"], "tests": [test]}))
    promtool("test", "rules", file)


# --- a Prometheus that runs -------------------------------------------------------------------------------------------


@pytest.fixture
def prometheus(tmp_path):
    """A Prometheus with a folder of rules, which takes metrics from services at once."""

    def changes(config):
        config |= {"scrape_configs": [], "alerting": {}, "rule_files": [str(tmp_path / "*.rules.yml")]}

    with Prometheus(tmp_path / "prometheus", "prometheus3.yml", changes) as running:
        yield running


def send(prometheus, program):
    """Run a service that sends its metrics to Prometheus; return what it printed."""
    environment = {
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{prometheus.otlp}/v1/metrics",
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
    }
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, timeout=300, check=True
    )
    return done.stdout


def call(prometheus, model, calls, seconds):
    """Call a model twice so often, each call so long; return how long the slowest took."""
    program = f"""
        import time, mmtrace
        mmtrace.configure(service="reranker", latency_buckets=[0.04])
        slowest = 0.0
        for half in range(2):
            for _ in range({calls}):
                began = time.perf_counter()
                with mmtrace.model_call({model!r}):
                    time.sleep({seconds})
                slowest = max(slowest, time.perf_counter() - began)
            mmtrace.flush()
            time.sleep(1.2)
        print(slowest)
    """
    return float(send(prometheus, program))


def make_rules(folder, *arguments):
    """Run `mmtrace rules`; its groups are evaluated every second, so that a test need not wait."""
    command = [sys.executable, "-m", "mmtrace", "rules", "--rules", "made.rules.yml", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=folder)
    assert done.returncode == 0, done.stderr
    rules = yaml.safe_load((folder / "made.rules.yml").read_text())
    for group in rules["groups"]:
        group["interval"] = "1s"
    (folder / "made.rules.yml").write_text(yaml.safe_dump(rules))


def test_the_objectives_of_what_a_prometheus_has_seen_are_written_and_an_alert_fires_by_them(prometheus, tmp_path):
    slowest = call(prometheus, "bge", 10, 0.02)
    until(lambda: prometheus.ask("mmtrace_model_call_duration_seconds_count >= 20"), 30, "the calls are seen")
    make_rules(tmp_path, "--from", prometheus.url, "objectives.yml")
    written = yaml.safe_load((tmp_path / "objectives.yml").read_text())
    assert written["latency_buckets"] == [0.04]
    assert list(written["services"]["reranker"]["models"]) == ["bge"]
    enough = next(bound for bound in sorted({0.04, *names.TIME_BUCKETS}) if bound >= slowest)
    assert 0.02 < written["services"]["reranker"]["models"]["bge"]["latency"] <= enough

    written["services"]["reranker"]["models"]["bge"]["latency"] = 0.04
    (tmp_path / "objectives.yml").write_text(yaml.safe_dump(written))
    make_rules(tmp_path, "--from", prometheus.url, "objectives.yml")
    prometheus.reload()
    call(prometheus, "bge", 60, 0.06)
    (burning,) = until(lambda: firing(prometheus, "MMTraceLatencyBudgetBurnFast"), 60, "the budget burns")
    assert (burning["labels"]["job"], burning["labels"]["model"]) == ("reranker", "bge")
    assert {rule["health"] for rule in all_rules(prometheus)} == {"ok"}


def test_rules_and_dashboards_ask_for_the_very_names_that_a_service_sends(prometheus):
    program = """
        import asyncio, gc, mmtrace
        mmtrace.configure(service="whole")
        mmtrace.instrument()
        for _ in range(2):
            ticket = mmtrace.enqueue()
            with mmtrace.batch("batched", [ticket]):
                pass
            @mmtrace.model("streamed")
            def words():
                yield from "abc"
            list(words())
            with mmtrace.model_call("measured") as call:
                call.set(device_duration=0.1, input_tokens=3)
            @mmtrace.pipeline("p")
            def run(): ...
            run()
            gc.collect()
            asyncio.run(asyncio.sleep(1.2))
            mmtrace.flush()
    """
    send(prometheus, program)
    sent = set(get(f"{prometheus.url}/api/v1/label/__name__/values")["data"])
    rules = [rule["expr"] for rule in yaml.safe_load(rule_file(Objectives()))["groups"] for rule in rule["rules"]]
    panels = [expr for text in dashboards(Objectives()).values() for expr in queries(json.loads(text))]
    asked = {name for expr in (*rules, *panels) for name in used(expr)}
    assert {name for name in asked - sent if not name.startswith(ELSEWHERE)} == set()


COLLECTOR = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{otlp}"}}}}}}}}
exporters:
  otlp_http/silent:
    endpoint: http://127.0.0.1:{silent}
    sending_queue: {{sizer: requests, queue_size: 1, num_consumers: 1}}
  otlp_http/away: {{endpoint: "http://127.0.0.1:9", retry_on_failure: {{enabled: false}}}}
service:
  telemetry:
    metrics: {{level: detailed, readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: {own}}}}}}}}}]}}
  pipelines:
    traces/silent: {{receivers: [otlp], exporters: [otlp_http/silent]}}
    traces/away: {{receivers: [otlp], exporters: [otlp_http/away]}}
  extensions: [health_check]
extensions: {{health_check: {{endpoint: "127.0.0.1:{health}"}}}}
"""
"""A Collector before a receiver that never answers, so that a queue of one request fills, and one that is away."""


def test_a_collector_that_loses_and_refuses_spans_counts_them_under_the_names_of_the_alerts(tmp_path):
    rules = [rule["expr"] for group in groups(Objectives()) for rule in group.as_data()["rules"]]
    read = {name.removesuffix("_total") for expr in rules for name in used(expr) if name.startswith("otelcol_")}
    expected = {name for name in read if not name.endswith(("_log_records", "_metric_points"))}
    ports = {"otlp": free_port(), "own": free_port(), "health": free_port()}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        file = tmp_path / "losing.yaml"
        file.write_text(COLLECTOR.format(silent=silent.getsockname()[1], **ports))
        own = f"http://127.0.0.1:{ports['own']}/metrics"
        with Running("otelcol", ["--config", file], tmp_path, f"http://127.0.0.1:{ports['health']}") as collector:
            for _ in range(4):
                one_span(f"http://127.0.0.1:{ports['otlp']}/v1/traces")
            until(lambda: expected <= scraped(own), 30, f"{expected} are counted")
            collector.kill()  # it would wait for the receiver


def one_span(url):
    """Send one span to an OTLP receiver, whatever it answers."""
    span = {"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331", "name": "s"}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with contextlib.suppress(urllib.error.HTTPError):
        urllib.request.urlopen(request, timeout=10).close()


def scraped(url):
    """Return the names of the series that a program shows of itself."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return {re.split(r"[{ ]", line)[0] for line in answer.read().decode().splitlines() if line[:1] != "#"}


def firing(prometheus, name):
    alerts = get(f"{prometheus.url}/api/v1/alerts")["data"]["alerts"]
    return [alert for alert in alerts if alert["labels"]["alertname"] == name and alert["state"] == "firing"]


def all_rules(prometheus):
    return [rule for group in get(f"{prometheus.url}/api/v1/rules")["data"]["groups"] for rule in group["rules"]]
