"""Every setting, once: its default, the variables that it is read from, and what it is for.

A setting is the argument of `configure()`, else its `MMTRACE_*` variable, else its `OTEL_*` variables in their order, else
its default. A wrong argument or `MMTRACE_*` variable is an error; a wrong number in an `OTEL_*` variable is ignored with a
warning, as the OpenTelemetry specification asks.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import unquote, urlsplit

from mmtrace.errors import ConfigurationError, nearest
from mmtrace.recording.guard import report

Parse: TypeAlias = Callable[[str], Any]

SIGNALS: Final = ("traces", "metrics", "logs")
PREFIX: Final = "MMTRACE_"


def text(value: str) -> str:
    """Return the text as it is."""
    return value


def boolean(value: str) -> bool:
    """Parse `true` or `false`; also 1, yes, on, 0, no, off."""
    known = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    try:
        return known[value.strip().lower()]
    except KeyError:
        raise ValueError("it must be true or false") from None


def number(minimum: float, scale: float = 1.0) -> Parse:
    """Return a parser of a number of at least `minimum`, which multiplies by `scale`."""

    def parse(value: str) -> float:
        found = float(value) * scale
        if not found >= minimum:
            raise ValueError(f"it must be at least {minimum}")
        return found

    return parse


def whole(minimum: int) -> Parse:
    """Return a parser of a whole number of at least `minimum`."""

    def parse(value: str) -> int:
        found = int(value)
        if found < minimum:
            raise ValueError(f"it must be at least {minimum}")
        return found

    return parse


def one_of(*choices: str) -> Parse:
    """Return a parser of one of `choices`, in any case."""

    def parse(value: str) -> str:
        for choice in choices:
            if choice.lower() == value.strip().lower():
                return choice
        raise ValueError(nearest(value, choices))

    return parse


def listed(value: str) -> tuple[str, ...]:
    """Parse a list of words with commas between."""
    return tuple(word.strip() for word in value.split(",") if word.strip())


def list_of(*choices: str) -> Parse:
    """Return a parser of a list of some of `choices`."""
    one = one_of(*choices)
    return lambda value: tuple(dict.fromkeys(one(word) for word in listed(value)))


def pairs(value: str) -> dict[str, str]:
    """Parse `key=value,key=value` with values percent-encoded, as W3C Baggage has it."""
    found = {}
    for member in listed(value):
        key, equals, content = member.partition("=")
        if not equals or not key.strip():
            raise ValueError(f"{member!r} is not key=value")
        found[unquote(key.strip())] = unquote(content.strip())
    return found


def address(value: str) -> str:
    """Parse the address of a receiver."""
    parts = urlsplit(value.strip())
    if parts.scheme and "://" in value and parts.scheme not in {"http", "https", "unix", "grpc", "dns", "ipv4", "ipv6"}:
        raise ValueError(f"the scheme {parts.scheme!r} is not known; {nearest(parts.scheme, ('http', 'https'))}")
    return value.strip()


def _protocol(value: str) -> str:
    return "http/protobuf" if value.strip().lower() == "http" else str(one_of("http/protobuf", "grpc")(value))


def _exporters(*more: str) -> Parse:
    return list_of("otlp", "console", "file", "none", *more)


def _setting(default: Any, parse: Parse, variables: str, help: str) -> Any:  # noqa: A002  # as argparse calls it
    metadata = {"parse": parse, "variables": tuple(variables.split()), "help": help}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def _milliseconds(minimum: float = 0.0) -> Parse:
    return number(minimum, 0.001)


@dataclass(frozen=True)
class Destination:
    """Where one signal goes by OTLP, after all that the variables of the signal and the general ones say.

    `endpoint` is the whole address, path included, for HTTP. `timeout` is in seconds.
    """

    endpoint: str
    protocol: str
    headers: Mapping[str, str] = dataclasses.field(repr=False)
    timeout: float
    compression: str
    certificate: str | None
    client_key: str | None
    client_certificate: str | None
    insecure: bool


@dataclass(frozen=True)
class Settings:
    """All settings of a process, never changed once made; `load` makes them."""

    service: str = _setting("", text, "MMTRACE_SERVICE OTEL_SERVICE_NAME", "name of the service")
    service_version: str = _setting("", text, "MMTRACE_SERVICE_VERSION", "version of the service")
    resource: Mapping[str, str] = _setting(
        {}, pairs, "MMTRACE_RESOURCE OTEL_RESOURCE_ATTRIBUTES", "more attributes of the service: key=value,..."
    )
    disabled: bool = _setting(False, boolean, "MMTRACE_DISABLED OTEL_SDK_DISABLED", "record and send nothing")

    traces: tuple[str, ...] = _setting(
        ("otlp",), _exporters(), "MMTRACE_TRACES OTEL_TRACES_EXPORTER", "where spans go: otlp, console, file, none"
    )
    metrics: tuple[str, ...] = _setting(
        ("otlp",),
        _exporters("prometheus"),
        "MMTRACE_METRICS OTEL_METRICS_EXPORTER",
        "where metrics go: otlp, prometheus, console, file, none",
    )
    logs: tuple[str, ...] = _setting(
        ("otlp",), _exporters(), "MMTRACE_LOGS OTEL_LOGS_EXPORTER", "where log records go: otlp, console, file, none"
    )
    file: str = _setting("mmtrace.jsonl", text, "MMTRACE_FILE", "the file that the exporter `file` appends to")

    endpoint: str = _setting(
        "", address, "MMTRACE_ENDPOINT OTEL_EXPORTER_OTLP_ENDPOINT", "OTLP receiver, http://localhost:4318 if empty"
    )
    protocol: str = _setting(
        "http/protobuf", _protocol, "MMTRACE_PROTOCOL OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf or grpc"
    )
    headers: Mapping[str, str] = _setting(
        {}, pairs, "MMTRACE_HEADERS OTEL_EXPORTER_OTLP_HEADERS", "headers of each request: key=value,..."
    )
    timeout: float = _setting(
        10.0, _milliseconds(), "MMTRACE_TIMEOUT OTEL_EXPORTER_OTLP_TIMEOUT", "time for one request (variables: ms)"
    )
    compression: str = _setting(
        "none",
        one_of("none", "gzip", "deflate"),
        "MMTRACE_COMPRESSION OTEL_EXPORTER_OTLP_COMPRESSION",
        "none, gzip or deflate",
    )
    certificate: str | None = _setting(
        None, text, "MMTRACE_CERTIFICATE OTEL_EXPORTER_OTLP_CERTIFICATE", "file of the authority that is trusted (PEM)"
    )
    client_key: str | None = _setting(
        None, text, "MMTRACE_CLIENT_KEY OTEL_EXPORTER_OTLP_CLIENT_KEY", "file of the client's key (PEM)"
    )
    client_certificate: str | None = _setting(
        None,
        text,
        "MMTRACE_CLIENT_CERTIFICATE OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
        "file of the client's certificate (PEM)",
    )
    insecure: bool = _setting(
        False,
        boolean,
        "MMTRACE_INSECURE OTEL_EXPORTER_OTLP_INSECURE",
        "gRPC without TLS, for an address without scheme",
    )

    queue_bytes: int = _setting(
        64 << 20, whole(1 << 16), "MMTRACE_QUEUE_BYTES", "bytes that may wait for one receiver; what is over is dropped"
    )
    queue_items: int = _setting(
        65_536, whole(1), "MMTRACE_QUEUE_ITEMS OTEL_BSP_MAX_QUEUE_SIZE", "spans that may wait for one receiver"
    )
    batch_items: int = _setting(
        512, whole(1), "MMTRACE_BATCH_ITEMS OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "spans of one request"
    )
    batch_bytes: int = _setting(7 << 19, whole(1 << 12), "MMTRACE_BATCH_BYTES", "bytes of one request")
    schedule_delay: float = _setting(
        1.0,
        _milliseconds(),
        "MMTRACE_SCHEDULE_DELAY OTEL_BSP_SCHEDULE_DELAY",
        "time until a span is sent (variables: ms)",
    )
    export_timeout: float = _setting(
        30.0,
        _milliseconds(),
        "MMTRACE_EXPORT_TIMEOUT OTEL_BSP_EXPORT_TIMEOUT",
        "time for one batch with all its retries (variables: ms)",
    )
    metric_interval: float = _setting(
        60.0,
        _milliseconds(0.001),
        "MMTRACE_METRIC_INTERVAL OTEL_METRIC_EXPORT_INTERVAL",
        "time between two exports of metrics (variables: ms)",
    )
    metric_timeout: float = _setting(
        30.0,
        _milliseconds(),
        "MMTRACE_METRIC_TIMEOUT OTEL_METRIC_EXPORT_TIMEOUT",
        "time for one export of metrics (variables: ms)",
    )
    shutdown_timeout: float = _setting(
        5.0, number(0), "MMTRACE_SHUTDOWN_TIMEOUT", "seconds that the end of the process may wait for telemetry, in all"
    )

    temporality: Literal["cumulative", "delta", "lowmemory"] = _setting(
        "cumulative",
        one_of("cumulative", "delta", "lowmemory"),
        "MMTRACE_TEMPORALITY OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "cumulative (what Prometheus takes), delta or lowmemory",
    )
    histograms: str = _setting(
        "explicit_bucket_histogram",
        one_of("explicit_bucket_histogram", "base2_exponential_bucket_histogram"),
        "MMTRACE_HISTOGRAMS OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        "buckets of the application's own histograms",
    )
    exemplars: str = _setting(
        "trace_based",
        one_of("trace_based", "always_on", "always_off"),
        "MMTRACE_EXEMPLARS OTEL_METRICS_EXEMPLAR_FILTER",
        "which calls may become exemplars: trace_based, always_on or always_off",
    )
    prometheus_host: str = _setting(
        "localhost", text, "MMTRACE_PROMETHEUS_HOST OTEL_EXPORTER_PROMETHEUS_HOST", "where Prometheus scrapes: host"
    )
    prometheus_port: int = _setting(
        9464, whole(0), "MMTRACE_PROMETHEUS_PORT OTEL_EXPORTER_PROMETHEUS_PORT", "where Prometheus scrapes: port"
    )

    sampler: str = _setting(
        "parentbased_always_on", text, "MMTRACE_SAMPLER OTEL_TRACES_SAMPLER", "which traces are recorded"
    )
    sampler_arg: str | None = _setting(
        None, text, "MMTRACE_SAMPLER_ARG OTEL_TRACES_SAMPLER_ARG", "argument of the sampler, a ratio for example"
    )
    propagators: tuple[str, ...] = _setting(
        ("tracecontext", "baggage"), listed, "MMTRACE_PROPAGATORS OTEL_PROPAGATORS", "how context crosses processes"
    )
    content: str = _setting(
        "NO_CONTENT",
        one_of("NO_CONTENT", "SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT"),
        "MMTRACE_CONTENT OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
        "whether prompts, documents and values are recorded: NO_CONTENT, SPAN_ONLY, EVENT_ONLY or SPAN_AND_EVENT",
    )
    content_limit: int = _setting(8192, whole(0), "MMTRACE_CONTENT_LIMIT", "characters of one recorded content")
    redact: Callable[[str, Any], Any] | None = _setting(
        None, text, "", "function (key, value) -> value or None that sees every value before it is sent"
    )
    semconv_genai: str = _setting(
        "1.41", one_of("1.41", "next", "dup"), "MMTRACE_SEMCONV_GENAI", "profile of the GenAI names: 1.41, next or dup"
    )
    enabled: tuple[str, ...] = _setting(
        (), listed, "MMTRACE_INSTRUMENT", "the libraries to instrument; every supported one if empty"
    )
    disabled_libraries: tuple[str, ...] = _setting(
        (),
        listed,
        "MMTRACE_DISABLE OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",
        "libraries that are left alone",
    )
    carriers: Mapping[str, str] = _setting(
        {}, pairs, "MMTRACE_CARRIERS", "where context is carried, against the default: library=on,library=off"
    )

    otlp: Mapping[str, Destination] = dataclasses.field(default_factory=dict, metadata={})

    @classmethod
    def load(cls, environ: Mapping[str, str], **arguments: Any) -> "Settings":
        """Return the settings that `arguments` and the variables of `environ` make.

        Raises ConfigurationError for an unknown argument or `MMTRACE_*` variable and for a wrong value, with the
        nearest valid choice.
        """
        _refuse_unknown(environ, arguments)
        values = {setting.name: _value(setting, environ, arguments) for setting in table()}
        destinations = {signal: _destination(signal, values, environ, arguments) for signal in SIGNALS}
        return cls(**values, otlp=destinations)


@dataclass(frozen=True)
class Setting:
    """One row of the table: the argument's name, its default, variables in their order, and help."""

    name: str
    default: Any
    variables: tuple[str, ...]
    help: str
    parse: Parse


def table() -> tuple[Setting, ...]:
    """Return every setting."""
    rows = []
    for field in dataclasses.fields(Settings):
        if field.metadata:
            default = field.default if field.default is not dataclasses.MISSING else {}
            rows.append(
                Setting(field.name, default, **{key: field.metadata[key] for key in ("variables", "help", "parse")})
            )
    return tuple(rows)


OTHER_VARIABLES: Final = ("MMTRACE_AUTO", "MMTRACE_REPORT", "MMTRACE_SCREENSHOT")
"""Variables that are no settings: of `mmtrace run`, and of the tests."""

_PER_SIGNAL: Final = tuple(
    name for name in (field.name for field in dataclasses.fields(Destination)) if name != "endpoint"
)
_DEFAULT_ENDPOINTS: Final = {"http/protobuf": "http://localhost:4318", "grpc": "http://localhost:4317"}


def _refuse_unknown(environ: Mapping[str, str], arguments: Mapping[str, Any]) -> None:
    names = [setting.name for setting in table()]
    for name in arguments:
        if name not in names:
            raise ConfigurationError(f"configure() has no argument {name!r}; {nearest(name, names)}")
    variables = {variable for setting in table() for variable in setting.variables if variable.startswith(PREFIX)}
    for name in environ:
        if name.startswith(PREFIX) and name not in variables and name not in OTHER_VARIABLES:
            raise ConfigurationError(f"there is no variable {name}; {nearest(name, variables)}")


def _value(setting: Setting, environ: Mapping[str, str], arguments: Mapping[str, Any]) -> Any:
    if setting.name in arguments:
        return _checked(setting, arguments[setting.name])
    for variable in setting.variables:
        if environ.get(variable, "").strip():
            found = _parsed(setting.parse, variable, environ[variable])
            if found is not _WRONG:
                return found
    return dict(setting.default) if isinstance(setting.default, dict) else setting.default


_WRONG: Final = object()


def _parsed(parse: Parse, variable: str, value: str) -> Any:
    try:
        return parse(value)
    except ValueError as error:
        message = f"{variable}={value!r}: {error}"
        if variable.startswith("OTEL_") and not isinstance(error, ConfigurationError):
            report(f"variable {variable}", f"mmtrace: {message}; ignored")
            return _WRONG
        raise ConfigurationError(message) from error


def _checked(setting: Setting, value: Any) -> Any:
    """Return the argument `value`, brought to the type of the setting by the parser of its text."""
    default = setting.default
    if value is None or setting.name == "redact":
        return default if value is None else _callable(setting.name, value)
    try:
        if isinstance(default, dict):
            return dict(value) if isinstance(value, Mapping) else setting.parse(value)
        if isinstance(default, tuple):
            return setting.parse(value if isinstance(value, str) else ",".join(value))
        if isinstance(default, float) and not isinstance(value, str):
            return _seconds(value)
        if isinstance(value, bool) and setting.name == "content":
            return "SPAN_ONLY" if value else "NO_CONTENT"
        return setting.parse(str(value))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{setting.name}={value!r}: {error}") from error


def _callable(name: str, value: Any) -> Any:
    if not callable(value):
        raise ConfigurationError(f"{name} must be a function, not {value!r}")
    return value


def _seconds(value: Any) -> float:
    seconds = float(value)
    if not seconds >= 0:
        raise ValueError("it must not be negative")
    return seconds


def _destination(
    signal: str, values: Mapping[str, Any], environ: Mapping[str, str], arguments: Mapping[str, Any]
) -> Destination:
    """Resolve one signal: its own OTEL_* variables win over the general ones, not over arguments and MMTRACE_*."""
    own = {name: _own(signal, name, values, environ, arguments) for name in _PER_SIGNAL}
    endpoint = _endpoint(signal, str(own["protocol"]), values, environ, arguments)
    return Destination(endpoint=endpoint, **own)


def _own(
    signal: str, name: str, values: Mapping[str, Any], environ: Mapping[str, str], arguments: Mapping[str, Any]
) -> Any:
    found = _special(signal, name, environ, arguments)
    return values[name] if found is _WRONG else found


def _special(signal: str, name: str, environ: Mapping[str, str], arguments: Mapping[str, Any]) -> Any:
    variable = f"OTEL_EXPORTER_OTLP_{signal}_{name}".upper()
    decided = arguments.get(name) is not None or environ.get(f"{PREFIX}{name.upper()}", "").strip()
    if decided or not environ.get(variable, "").strip():
        return _WRONG
    parse = next(setting.parse for setting in table() if setting.name == name)
    return _parsed(parse, variable, environ[variable])


def _endpoint(
    signal: str, protocol: str, values: Mapping[str, Any], environ: Mapping[str, str], arguments: Mapping[str, Any]
) -> str:
    special = _special(signal, "endpoint", environ, arguments)
    if special is not _WRONG:
        return str(special)
    base = values["endpoint"] or _DEFAULT_ENDPOINTS[protocol]
    if protocol == "grpc":
        return str(base)
    if "://" not in base:
        base = f"http://{base}"
    return f"{base.rstrip('/')}/v1/{signal}"
