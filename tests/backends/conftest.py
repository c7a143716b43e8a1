"""One run of the demo through two chains of real backends, which the tests then look at from every side.

demo -> tee -> agent -> two gateways (tail sampling) -> Jaeger; metrics by OTLP -> Prometheus -> Alertmanager
            -> agent -> gateway (keep all, scrape)   -> Jaeger; metrics scraped by another Prometheus
"""

import contextlib
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import yaml

from backends.running import until
from backends.stack import HOST, SLOW_MS, Jaeger, Prometheus, agent, by_trace, gateway, worth_keeping
from backends.tee import Tee
from ports import free_port
from receiver import Receiver

SECONDS = 25
RATE = 8
QUICK = """
import mmtrace
mmtrace.configure(service="gateway")
for _ in range(50):
    with mmtrace.span("GET /health"):
        pass
"""
"""Requests that no policy keeps, also where the machine is so busy that it keeps all of the demo's."""


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("backends")


@pytest.fixture(scope="session")
def loki():
    """Where the gateways send logs: a receiver at Loki's path."""
    with Receiver() as receiver:
        receiver.bodies["/otlp/v1/logs"] = receiver.bodies["/v1/logs"]
        yield receiver


@pytest.fixture(scope="session")
def sampled(folder, loki):
    """The chain with tail sampling: an agent, two gateways, Jaeger, and Prometheus 3 by OTLP."""
    with contextlib.ExitStack() as stack:
        prometheus = stack.enter_context(_pushed(folder / "prometheus3"))
        jaeger = stack.enter_context(Jaeger(folder / "jaeger-sampled", prometheus.url))
        # Two gateways of one name: here they share a port, and are told apart by address.
        port = free_port()
        gateways = [
            stack.enter_context(
                gateway(
                    folder / name,
                    host=host,
                    port=port,
                    jaeger=jaeger.endpoint,
                    prometheus=prometheus.otlp,
                    loki=f"{loki.url}/otlp",
                    DECISION_WAIT="8s",
                    KEEP_SLOWER_THAN_MS=SLOW_MS,
                    KEEP_PERCENT=0,
                )
            )
            for name, host in (("gateway-a", HOST), ("gateway-b", "[::1]"))
        ]
        two = folder / "two-gateways.yaml"
        resolver = {"dns": None, "static": {"hostnames": [f"{HOST}:{port}", f"[::1]:{port}"]}}
        two.write_text(yaml.safe_dump({"exporters": {"load_balancing": {"resolver": resolver}}}))
        first = stack.enter_context(agent(folder / "agent-sampled", port, two))
        yield SimpleNamespace(agent=first, gateways=gateways, jaeger=jaeger, prometheus=prometheus)


@pytest.fixture(scope="session")
def whole(folder):
    """The chain that keeps all: an agent, a gateway, Jaeger, and a Prometheus that scrapes."""
    with contextlib.ExitStack() as stack:
        port, scraped = free_port(), free_port()
        prometheus = stack.enter_context(_scraping(folder / "prometheus2", f"{HOST}:{scraped}"))
        jaeger = stack.enter_context(Jaeger(folder / "jaeger-whole", prometheus.url))
        files = ("gateway-keep-all.yaml", "gateway-scrape.yaml")
        where = {"port": port, "jaeger": jaeger.endpoint, "SCRAPE_PORT": scraped}
        keeper = stack.enter_context(gateway(folder / "gateway-whole", *files, **where))
        first = stack.enter_context(agent(folder / "agent-whole", port))
        yield SimpleNamespace(agent=first, gateways=[keeper], jaeger=jaeger, prometheus=prometheus)


def _pushed(folder):
    def changes(config):
        config |= {"rule_files": [], "alerting": {}, "scrape_configs": []}

    return Prometheus(folder, "prometheus3.yml", changes)


def _scraping(folder, target):
    def changes(config):
        config |= {"rule_files": [], "alerting": {}}
        config["global"] |= {"scrape_interval": "1s"}
        (services, _) = config["scrape_configs"]
        services["static_configs"] = [{"targets": [target]}]
        config["scrape_configs"] = [services]

    return Prometheus(folder, "prometheus2.yml", changes)


@pytest.fixture(scope="session")
def demo(sampled, whole, folder):
    """What the demo's client reported, and what its services sent: both chains have accepted all of it."""
    report = folder / "report.json"
    with Tee(sampled.agent.url, whole.agent.url) as tee:
        options = {"--seconds": SECONDS, "--rate": RATE, "--otlp": tee.url, "--report": report}
        command = ["demo", *(str(word) for option in options.items() for word in option)]
        _run("-m", "mmtrace", *command)
        _run("-c", QUICK, OTEL_EXPORTER_OTLP_ENDPOINT=tee.url)
    return SimpleNamespace(report=json.loads(report.read_text()), traces=by_trace(tee.spans()), tee=tee)


def _run(*words, **environment):
    command = [sys.executable, *words]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def kept(demo, whole):
    """The traces in the Jaeger that keeps all, once as many spans are there as were sent."""
    return whole.jaeger.once_it_holds(demo.traces.values())


@pytest.fixture(scope="session")
def chosen(demo, sampled):
    """The traces in the Jaeger behind tail sampling, once all are judged and all that is kept is there."""
    counter = "otelcol_processor_tail_sampling_global_count_traces_sampled"
    until(lambda: sum(each.measured(counter) for each in sampled.gateways) >= len(demo.traces), 60, "all is decided")
    return sampled.jaeger.once_it_holds(filter(worth_keeping, demo.traces.values()))
