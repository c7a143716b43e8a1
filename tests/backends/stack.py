"""The backends with the files of collector-config/, and what their query APIs answer."""

import json
import signal
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import yaml

from backends.running import CONFIG, Running, until
from mmtrace import attributes as names
from mmtrace.otlp.decode import decode_traces_json
from mmtrace.spans import Resource, Trace
from ports import free_port

HOST = "127.0.0.1"
SLOW_MS = 300
"""What a sampler is told to call slow: the demo's bulk lane waits longer, the other one never."""


MODELS = {
    "digit-reader": "ocr digit-reader",
    "digit-checker": "classify digit-checker",
    "digit-narrator": "generate digit-narrator",
}
"""The demo's models, which are also its services, and the names of their spans."""


class Collector(Running):
    """A Collector with shipped files, given in the order in which they change each other, and the user's variables."""

    def __init__(self, folder, *files, host=HOST, port=None, **variables):
        self.grpc_port = port or free_port()
        self.scrape_port = free_port()
        http, health, metrics = free_port(), free_port(), free_port()
        self.url = f"http://{HOST}:{http}"
        environment = {
            "LISTEN_HOST": host,
            "OTLP_GRPC_PORT": self.grpc_port,
            "OTLP_HTTP_PORT": http,
            "HEALTH_PORT": health,
            "METRICS_PORT": metrics,
            "SCRAPE_PORT": self.scrape_port,
            "QUEUE_FOLDER": folder / "queue",
            **variables,
        }
        arguments = [word for file in files for word in ("--config", CONFIG / file)]
        self._measurements = f"http://{host}:{metrics}/metrics"
        super().__init__("otelcol", arguments, folder, f"http://{host}:{health}", environment)

    def measured(self, name):
        """The sum of one of the Collector's own metrics."""
        with urllib.request.urlopen(self._measurements, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.partition("{")[0].split(" ")[0] == name)


def agent(folder, gateway_port, *files, **variables):
    """An agent that sends to the gateway on that port."""
    return Collector(folder, "collector-agent.yaml", *files, GATEWAY_HOST=HOST, GATEWAY_PORT=gateway_port, **variables)


def gateway(folder, *files, jaeger, prometheus="http://127.0.0.1:9", loki="http://127.0.0.1:9", **variables):
    """A gateway that sends spans, metrics and logs to those."""
    return Collector(
        folder,
        "collector-gateway.yaml",
        *files,
        JAEGER_ENDPOINT=jaeger,
        PROMETHEUS_OTLP=prometheus,
        LOKI_OTLP=loki,
        SPAN_METRICS_INTERVAL="1s",
        **variables,
    )


class Jaeger(Running):
    """Jaeger with the shipped all-in-one file."""

    def __init__(
        self, folder, prometheus="http://127.0.0.1:9", files=(CONFIG / "jaeger-all-in-one.yaml",), **variables
    ):
        self.grpc_port, query, health = free_port(), free_port(), free_port()
        self.endpoint = f"{HOST}:{self.grpc_port}"
        self.url = f"http://{HOST}:{query}"
        environment = {
            "LISTEN_HOST": HOST,
            "OTLP_GRPC_PORT": self.grpc_port,
            "OTLP_HTTP_PORT": free_port(),
            "QUERY_HTTP_PORT": query,
            "QUERY_GRPC_PORT": free_port(),
            "HEALTH_PORT": health,
            "METRICS_PORT": free_port(),
            "PROMETHEUS_URL": prometheus,
            **variables,
        }
        arguments = [word for file in files for word in ("--config", file)]
        super().__init__("jaeger", arguments, folder, f"http://{HOST}:{health}/status", environment)

    def stop(self):
        """It keeps nothing that would need a farewell, and its own takes ten seconds."""
        self.kill()

    def services(self):
        return set(get(f"{self.url}/api/v3/services").get("services", ()))

    def spans(self, service):
        """Every span of the traces in which `service` took part during the last hour."""
        now = datetime.now(timezone.utc)
        question = {
            "query.service_name": service,
            "query.start_time_min": (now - timedelta(hours=1)).isoformat(),
            "query.start_time_max": (now + timedelta(minutes=1)).isoformat(),
            "query.num_traces": 100000,
        }
        answer = get(f"{self.url}/api/v3/traces", question)
        return decode_traces_json(json.dumps(answer["result"])) if answer else []

    def all_traces(self):
        """Every trace, by its id."""
        return by_trace(span for service in self.services() for span in self.spans(service))

    def once_it_holds(self, traces):
        """Return every trace, by its id, once as many spans are there as these traces have."""
        awaited = sum(len(trace.spans) for trace in traces)

        def complete():
            held = self.all_traces()
            return sum(len(trace.spans) for trace in held.values()) >= awaited and held

        return until(complete, 60, f"{awaited} spans are in Jaeger")

    def has(self, trace_id):
        return get(f"{self.url}/api/v3/traces/{trace_id:032x}") is not None

    def performance(self, what, service, **question):
        """What the Monitor page asks: {operation: values over time} of `latencies`, `calls` or `errors`."""
        period = {"endTs": int(time.time() * 1000), "lookback": 600_000, "step": 5_000, "ratePer": 60_000}
        asked = {"service": service, "spanKind": "internal", "groupByOperation": "true", **period, **question}
        family = get(f"{self.url}/api/metrics/{what}", asked)
        found = {}
        for metric in family.get("metrics", ()):
            labels = {label["name"]: label["value"] for label in metric["labels"]}
            values = [point["gaugeValue"].get("doubleValue") for point in metric["metricPoints"]]
            found[labels["operation"]] = [float(value) for value in values if value not in {None, "NaN"}]
        return found


def by_trace(spans):
    found = {}
    for span in spans:
        found.setdefault(span.trace_id, []).append(span)
    return {trace_id: Trace.of(spans) for trace_id, spans in found.items()}


def worth_keeping(trace):
    """Whether the shipped policies keep a trace: what the gateway is to do, written a second time."""
    return (
        trace.errors > 0
        or trace.duration * 1000 >= SLOW_MS
        or trace.root.name.startswith("batch ")
        or any(span.attributes.get(names.EXEMPLAR) or span.attributes.get(names.KEEP) for span in trace.spans)
        or any(span.attributes.get(names.TIME_TO_FIRST_OUTPUT, 0) > 2 for span in trace.spans)
    )


def differences(read, sent):
    """Return (read, sent) of every span of two traces that differs.

    The agent adds to the resource, and Jaeger does not keep the address of a scope's schema.
    """
    assert read.by_id.keys() == sent.by_id.keys()
    pairs = [(_as_sent(read.by_id[key], span), span) for key, span in sent.by_id.items()]
    return [(back, span) for back, span in pairs if back != span]


def _as_sent(read, sent):
    mine = {key: value for key, value in read.resource.attributes.items() if key in sent.resource.attributes}
    assert set(read.resource.attributes) - set(mine) <= {"host.name", "os.type"}
    scope = replace(read.scope, schema_url=sent.scope.schema_url)
    return replace(read, resource=Resource(mine, sent.resource.schema_url), scope=scope)


FLAGS = {"prometheus3.yml": ["--web.enable-otlp-receiver"], "prometheus2.yml": []}


class Prometheus(Running):
    """Prometheus with a shipped file; `changes` gets the parsed file, to put in this machine's ports and paths."""

    def __init__(self, folder, file, changes):
        port = free_port()
        self.url = f"http://{HOST}:{port}"
        self.otlp = f"{self.url}/api/v1/otlp"
        config = yaml.safe_load((CONFIG / file).read_text())
        changes(config)
        folder.mkdir(parents=True)
        (folder / file).write_text(yaml.safe_dump(config))
        arguments = [
            f"--config.file={folder / file}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={HOST}:{port}",
            "--enable-feature=exemplar-storage",
            *FLAGS[file],
        ]
        super().__init__("prometheus", arguments, folder, f"{self.url}/-/ready")

    def reload(self):
        """Let it read its files again."""
        self._process.send_signal(signal.SIGHUP)

    def ask(self, expression):
        """Return the samples of an instant query: [(labels, value)]."""
        answer = get(f"{self.url}/api/v1/query", {"query": expression})
        return [(sample["metric"], float(sample["value"][1])) for sample in answer["data"]["result"]]

    def by_model(self, expression):
        return {labels["model"]: value for labels, value in self.ask(expression)}

    def exemplars(self, selector):
        """Return (labels of the series, exemplar) of the last hour."""
        period = {"start": time.time() - 3600, "end": time.time() + 60}
        answer = get(f"{self.url}/api/v1/query_exemplars", {"query": selector, **period})
        return [(series["seriesLabels"], found) for series in answer["data"] for found in series["exemplars"]]


class Alertmanager(Running):
    """Alertmanager with the shipped file; it tells the receiver at `webhook`, at once."""

    def __init__(self, folder, webhook):
        port = free_port()
        self.target = f"{HOST}:{port}"
        config = yaml.safe_load((CONFIG / "alertmanager.yml").read_text())
        config["route"] |= {"group_wait": "0s", "group_interval": "1s"}
        config["receivers"][0]["webhook_configs"][0]["url"] = webhook
        folder.mkdir(parents=True)
        (folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
        arguments = [
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address={self.target}",
            "--cluster.listen-address=",
        ]
        super().__init__("alertmanager", arguments, folder, f"http://{self.target}/-/ready")


def get(url, question=None):
    """Return the JSON that a query API answers; None where it holds no such thing."""
    query = "?" + urllib.parse.urlencode(question, doseq=True) if question else ""
    try:
        with urllib.request.urlopen(url + query, timeout=30) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        body = error.read().decode()
        if error.code == 404:
            return None
        raise AssertionError(f"{url}{query}: {error.code} {body}") from None
