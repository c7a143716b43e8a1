# ruff: noqa: RUF009 - the fields are the table
"""Every setting: its name, default, variables and meaning, in one table that is the `Settings` dataclass itself.

A setting is the argument of `configure()`, else its `MMTRACE_*` variable, else its `OTEL_*` variables in order, else
its default; an empty variable counts as unset. Sources: https://opentelemetry.io/docs/specs/otel/protocol/exporter/
and https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from mmtrace import attributes as names
from mmtrace.export.target import Compression, Target
from mmtrace.recording.limits import SpanLimits
from mmtrace.settings.kinds import (
    ANYTHING,
    ATTRIBUTES,
    BOUNDS,
    CONTENT,
    COUNT,
    ENDPOINT,
    FLAG,
    GENAI_OPT_IN,
    LIST,
    MILLISECONDS,
    OTLP_TIMEOUT,
    PAIRS,
    SECONDS,
    SOME,
    STANDARD_FLAG,
    STATE_FOLDER,
    SWITCHES,
    TEXT,
    WHOLE_ENDPOINT,
    Endpoint,
    Kind,
    choice,
    exporters,
    number,
)
from mmtrace.settings.rows import PerSignal, Variable, each, otlp, refuse_unknown, rows_of, setting, standard
from mmtrace.transport.signals import Signal

_PLAIN: Final[Compression] = "none"
_LONGEST_NAME: Final = 200
_DEFAULT_ENDPOINTS: Final = {"http/protobuf": "http://localhost:4318", "grpc": "http://localhost:4317"}


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a process; made by `load`. Times are in seconds, sizes in bytes."""

    # who records
    service: str = setting("", TEXT, ["OTEL_SERVICE_NAME"], "Name of the service.")
    version: str = setting("", TEXT, [], "Version of the service.")
    resource: Mapping[str, Any] = setting(
        {}, ATTRIBUTES, ["OTEL_RESOURCE_ATTRIBUTES"], "More attributes of the resource; sources add up, key by key."
    )

    # what is recorded
    disabled: bool = setting(
        False, FLAG, [standard("SDK_DISABLED", STANDARD_FLAG)], "Record nothing; context still travels."
    )
    sampler: Any = setting(
        "parentbased_always_on", ANYTHING, ["OTEL_TRACES_SAMPLER"], "Which traces are recorded; a name, or a Sampler."
    )
    sampler_arg: str | None = setting(
        None, Kind(str), ["OTEL_TRACES_SAMPLER_ARG"], "Argument of the sampler: the ratio, 0 to 1."
    )
    propagators: tuple[str, ...] = setting(
        ("tracecontext", "baggage"), LIST, ["OTEL_PROPAGATORS"], "Formats in which context is read and written."
    )
    content: str = setting(
        "NO_CONTENT",
        CONTENT,
        ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"],
        "Whether inputs and outputs of models are recorded: NO_CONTENT, SPAN_ONLY, EVENT_ONLY, SPAN_AND_EVENT.",
    )
    redact: Callable[[str, Any], Any] | None = setting(
        None, ANYTHING, None, "`redact(key, value)` returns what may be recorded, or None; an argument only."
    )
    semconv_genai: str = setting(
        "1.41",
        choice("1.41", "next", "dup"),
        [standard("SEMCONV_STABILITY_OPT_IN", GENAI_OPT_IN)],
        "Which GenAI names other instrumentors write: those of 1.41, the next ones, or both where they can (dup). What "
        "mmtrace itself writes has the same names in all three.",
    )
    max_attributes: int = setting(
        128, COUNT, ["OTEL_ATTRIBUTE_COUNT_LIMIT"], "Most attributes of a span, an event or a link."
    )
    max_span_attributes: int | None = setting(
        None, COUNT, ["OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"], "Most attributes of a span, where that differs."
    )
    max_event_attributes: int | None = setting(
        None, COUNT, ["OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT"], "Most attributes of an event, where that differs."
    )
    max_link_attributes: int | None = setting(
        None, COUNT, ["OTEL_LINK_ATTRIBUTE_COUNT_LIMIT"], "Most attributes of a link, where that differs."
    )
    max_attribute_length: int | None = setting(
        None,
        COUNT,
        ["OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"],
        "Longest text of an attribute, in characters; any by default.",
    )
    max_span_attribute_length: int | None = setting(
        None,
        COUNT,
        ["OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT"],
        "Longest text of a span's attribute, where that differs.",
    )
    max_events: int = setting(128, COUNT, ["OTEL_SPAN_EVENT_COUNT_LIMIT"], "Most events of a span.")
    max_links: int = setting(128, COUNT, ["OTEL_SPAN_LINK_COUNT_LIMIT"], "Most links of a span.")

    # which libraries are instrumented
    instrument: tuple[str, ...] = setting((), LIST, [], "Instrument only these libraries; all where none is named.")
    disable: tuple[str, ...] = setting(
        (), LIST, ["OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"], "Do not instrument these libraries."
    )
    carriers: Mapping[str, bool] = setting(
        {}, SWITCHES, [], "Whether a library's messages carry context: `kafka=false,redis=true`."
    )
    auto: bool = setting(
        False, FLAG, [], "Configure and instrument when the interpreter starts, as `mmtrace run` does."
    )
    report: str = setting("", TEXT, [], "Where a process says at its end what was patched: a file, or `-`.")

    # where telemetry goes
    traces_exporter: tuple[str, ...] = setting(
        ("otlp",), exporters("otlp", "console", "file"), ["OTEL_TRACES_EXPORTER"], "Where spans go, or none."
    )
    metrics_exporter: tuple[str, ...] = setting(
        ("otlp",),
        exporters("otlp", "prometheus", "app", "console", "file"),
        ["OTEL_METRICS_EXPORTER"],
        "Where metrics go, or none; `app` keeps them for `mmtrace.metrics_app` alone.",
    )
    logs_exporter: tuple[str, ...] = setting(
        ("otlp",), exporters("otlp", "console", "file"), ["OTEL_LOGS_EXPORTER"], "Where log records go, or none."
    )
    protocol: PerSignal[str] = setting(
        each("http/protobuf"),
        choice("http/protobuf", "grpc"),
        otlp("PROTOCOL"),
        "How OTLP travels.",
        per_signal=True,
    )
    endpoint: PerSignal[Endpoint | None] = setting(
        each(None),
        ENDPOINT,
        [Variable(otlp("ENDPOINT")[0], WHOLE_ENDPOINT), otlp("ENDPOINT")[1]],
        "Address of the receiver: http://localhost:4318 by default, http://localhost:4317 for grpc. Over HTTP the path "
        "of the signal is added, but not to the address of one signal.",
        per_signal=True,
    )
    headers: PerSignal[Mapping[str, str]] = setting(
        each({}),
        PAIRS,
        otlp("HEADERS"),
        "Headers of every request: `key=value,key=value`.",
        per_signal=True,
        secret=True,
    )
    compression: PerSignal[Compression] = setting(
        each(_PLAIN),
        choice("none", "gzip", "deflate"),
        otlp("COMPRESSION"),
        "Compression of requests; deflate over HTTP only.",
        per_signal=True,
    )
    timeout: PerSignal[float] = setting(
        each(10.0),
        SECONDS,
        [Variable(name, OTLP_TIMEOUT) for name in otlp("TIMEOUT")],
        "Longest time of one request. The standard variables are in milliseconds; below 100 they are taken as seconds.",
        per_signal=True,
    )
    certificate: PerSignal[str | None] = setting(
        each(None), TEXT, otlp("CERTIFICATE"), "File with the certificates to trust, PEM.", per_signal=True
    )
    client_key: PerSignal[str | None] = setting(
        each(None), TEXT, otlp("CLIENT_KEY"), "File with the client's private key, PEM.", per_signal=True
    )
    client_certificate: PerSignal[str | None] = setting(
        each(None), TEXT, otlp("CLIENT_CERTIFICATE"), "File with the client's certificate, PEM.", per_signal=True
    )
    insecure: PerSignal[bool] = setting(
        each(False),
        FLAG,
        [Variable(name, STANDARD_FLAG) for name in otlp("INSECURE")],
        "gRPC without TLS where the endpoint has no scheme.",
        per_signal=True,
    )
    http_proxy: str = setting("", TEXT, ["http_proxy", "HTTP_PROXY"], "Proxy for http:// receivers.", secret=True)
    https_proxy: str = setting("", TEXT, ["https_proxy", "HTTPS_PROXY"], "Proxy for https:// receivers.", secret=True)
    no_proxy: tuple[str, ...] = setting((), LIST, ["no_proxy", "NO_PROXY"], "Hosts and domains without a proxy, or *.")
    file: str = setting("mmtrace.jsonl", TEXT, [], "Where the exporter `file` writes, one JSON object a line.")
    prometheus_host: str = setting(
        "localhost", TEXT, ["OTEL_EXPORTER_PROMETHEUS_HOST"], "Where the Prometheus endpoint listens."
    )
    prometheus_port: int = setting(
        9464, COUNT, ["OTEL_EXPORTER_PROMETHEUS_PORT"], "Port of the Prometheus endpoint; 0 takes a free one."
    )

    # how it gets there
    schedule_delay: float = setting(
        1.0, SECONDS, [standard("BSP_SCHEDULE_DELAY", MILLISECONDS)], "Longest wait of a span before it is sent."
    )
    export_timeout: float = setting(
        30.0, SECONDS, [standard("BSP_EXPORT_TIMEOUT", MILLISECONDS)], "Longest time of one batch, retries included."
    )
    queue_bytes: int = setting(64 << 20, SOME, [], "Most bytes that wait to be sent; a span takes some 500.")
    queue_items: int = setting(65_536, SOME, ["OTEL_BSP_MAX_QUEUE_SIZE"], "Most spans and records that wait.")
    batch_items: int = setting(
        8_192, SOME, ["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"], "Most spans and records of one request."
    )
    batch_bytes: int = setting(7 << 19, SOME, [], "Largest request; receivers over gRPC take 4 MiB as a rule.")
    spool: str = setting(
        "overflow",
        choice("off", "overflow", "always"),
        [],
        "When telemetry goes to disk: never; when it cannot be sent in time or the queue fills; or always, within 100 "
        "ms, so that no kill loses more.",
    )
    spool_dir: str = setting(
        "~/.local/state/mmtrace/spool",
        TEXT,
        [Variable("XDG_STATE_HOME", STATE_FOLDER)],
        "Where the folder of each service is, with what waits on disk.",
    )
    spool_max_bytes: int = setting(
        512 << 20, SOME, [], "Most bytes on disk of a service; the oldest telemetry makes way for the newest."
    )
    spool_max_age: float = setting(
        604_800.0, SECONDS, [], "Longest time that telemetry waits on disk; a week by default."
    )
    shutdown_timeout: float = setting(5.0, SECONDS, [], "Longest time that the end of the process waits for delivery.")
    on_sigterm: bool = setting(False, FLAG, [], "Deliver what waits on SIGTERM, then end as before; takes the handler.")

    # metrics
    metric_interval: float = setting(
        60.0,
        number(0.001),
        [standard("METRIC_EXPORT_INTERVAL", number(0.001, scale=1e-3))],
        "Time between snapshots.",
    )
    metric_timeout: float = setting(
        30.0, SECONDS, [standard("METRIC_EXPORT_TIMEOUT", MILLISECONDS)], "Longest time to collect a snapshot."
    )
    metrics_shared: bool = setting(
        True,
        FLAG,
        [],
        "Whether processes of one service on a host are told as one: counters are summed, one process is scraped and "
        "pushes for all. What is pushed as growth never is.",
    )
    metrics_dir: str = setting(
        "",
        TEXT,
        [],
        "Where these processes leave their snapshots, each user in a folder below; the system's folder for temporary "
        "files by default.",
    )
    runtime_metrics: bool = setting(
        True,
        FLAG,
        [],
        "Whether memory, CPU, threads, open files, garbage collections, event loops and GPUs are measured.",
    )
    temporality: str = setting(
        "cumulative",
        choice("cumulative", "delta", "lowmemory"),
        ["OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"],
        "Whether metrics are totals or growth: cumulative, delta or lowmemory.",
    )
    histogram_aggregation: str = setting(
        "explicit_bucket_histogram",
        choice("explicit_bucket_histogram", "base2_exponential_bucket_histogram"),
        ["OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"],
        "Buckets of the application's own histograms.",
    )
    latency_buckets: tuple[float, ...] = setting(
        (),
        BOUNDS,
        [],
        "More bounds of the histograms of time, in seconds: the thresholds of objectives that are no bound yet.",
    )
    exemplar_filter: str = setting(
        "trace_based",
        choice("trace_based", "always_on", "always_off"),
        ["OTEL_METRICS_EXEMPLAR_FILTER"],
        "Which calls may become examples on a metric.",
    )

    # logs
    log_handlers: tuple[str, ...] = setting(
        (),
        exporters("json", "otlp"),
        [],
        "What else becomes of the records of `logging`: json (lines on standard output), otlp (to where logs_exporter "
        "says).",
    )
    log_level: str | None = setting(
        None,
        choice("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
        [],
        "Level of the root logger while records go to log_handlers; its own by default.",
    )

    @classmethod
    def load(cls, environ: Mapping[str, str], **arguments: Any) -> "Settings":
        """Return the settings that `arguments` and `environ` give; an argument that is None counts as not given.

        Raises ConfigurationError for an unknown argument, an unknown MMTRACE_* variable, and a wrong value; a wrong
        number or flag in an OTEL_* variable is warned of and left out.
        """
        refuse_unknown(TABLE, environ, arguments)
        return cls(**{row.name: row.value(environ, arguments.get(row.name)) for row in TABLE})

    @property
    def service_name(self) -> str:
        """The name of the service: given, or from the resource, or `unknown_service`."""
        return self.service or str(self.resource.get(names.SERVICE_NAME) or "unknown_service")

    @property
    def resource_attributes(self) -> dict[str, Any]:
        """All attributes of the resource that are settings."""
        version = {names.SERVICE_VERSION: self.version} if self.version else {}
        return {**self.resource, names.SERVICE_NAME: self.service_name, **version}

    @property
    def span_limits(self) -> dict[str, int]:
        """The limits of a span, as the arguments of `SpanLimits`."""
        general, length = self.max_attributes, _or(self.max_attribute_length, SpanLimits.UNSET)
        return {
            "max_attributes": general,
            "max_span_attributes": _or(self.max_span_attributes, general),
            "max_event_attributes": _or(self.max_event_attributes, general),
            "max_link_attributes": _or(self.max_link_attributes, general),
            "max_attribute_length": length,
            "max_span_attribute_length": _or(self.max_span_attribute_length, length),
            "max_events": self.max_events,
            "max_links": self.max_links,
        }

    @property
    def time_buckets(self) -> tuple[float, ...]:
        """The bounds of the histograms of time, in seconds."""
        return tuple(sorted({*names.TIME_BUCKETS, *self.latency_buckets}))

    @property
    def spool_folder(self) -> Path | None:
        """The folder with what waits of this service on disk, None where the user has no home."""
        name = quote(self.service_name, safe="").replace(".", "%2E")[:_LONGEST_NAME]
        try:
            return Path(self.spool_dir).expanduser().absolute() / (name or "%")
        except RuntimeError:
            return None

    def signals(self, exporter: str) -> list[Signal]:
        """Return the signals that go to an exporter of this name."""
        wanted = {
            Signal.TRACES: self.traces_exporter,
            Signal.METRICS: self.metrics_exporter,
            Signal.LOGS: self.logs_exporter,
        }
        return [signal for signal, exporters in wanted.items() if exporter in exporters]

    def target(self, signal: Signal) -> Target:
        """Return where a signal goes over OTLP."""
        url = self._url(signal)
        return Target(
            url=url,
            headers=self.headers[signal],
            compression=self.compression[signal],
            timeout=self.timeout[signal],
            certificate=self.certificate[signal],
            client_key=self.client_key[signal],
            client_certificate=self.client_certificate[signal],
            insecure=self.insecure[signal],
            proxy=self._proxy(url),
        )

    def _url(self, signal: Signal) -> str:
        protocol = self.protocol[signal]
        endpoint = self.endpoint[signal] or Endpoint(_DEFAULT_ENDPOINTS[protocol])
        if protocol == "grpc":
            return endpoint.url
        parts = urlsplit(endpoint.url)
        path = parts.path or "/" if endpoint.whole else parts.path.rstrip("/") + signal.path
        return parts._replace(path=path).geturl()

    def _proxy(self, url: str) -> str | None:
        parts = urlsplit(url)
        proxy = {"http": self.http_proxy, "https": self.https_proxy}.get(parts.scheme, "")
        host = parts.hostname or ""
        free = any(name == "*" or f".{host}".endswith("." + name.strip("*").lstrip(".")) for name in self.no_proxy)
        if not proxy or free:
            return None
        return proxy if "://" in proxy else f"http://{proxy}"


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


TABLE: Final = tuple(rows_of(Settings))
"""All settings, in the order in which they are documented."""
