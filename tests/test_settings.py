"""Settings: where each comes from, what is refused and how, and that the table is complete."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtrace.errors import ConfigurationError
from mmtrace.recording import SpanLimits, guard
from mmtrace.recording.propagation import propagator_from
from mmtrace.recording.sampling import sampler_from
from mmtrace.settings import TABLE, Settings, as_markdown
from mmtrace.transport import Pipeline, Signal
from mmtrace.transport.signals import ACCEPTED

STANDARD = """
SDK_DISABLED RESOURCE_ATTRIBUTES SERVICE_NAME PROPAGATORS TRACES_SAMPLER TRACES_SAMPLER_ARG
TRACES_EXPORTER METRICS_EXPORTER LOGS_EXPORTER EXPORTER_PROMETHEUS_HOST EXPORTER_PROMETHEUS_PORT
BSP_SCHEDULE_DELAY BSP_EXPORT_TIMEOUT BSP_MAX_QUEUE_SIZE BSP_MAX_EXPORT_BATCH_SIZE
METRIC_EXPORT_INTERVAL METRIC_EXPORT_TIMEOUT METRICS_EXEMPLAR_FILTER
ATTRIBUTE_COUNT_LIMIT ATTRIBUTE_VALUE_LENGTH_LIMIT SPAN_ATTRIBUTE_COUNT_LIMIT SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT
SPAN_EVENT_COUNT_LIMIT SPAN_LINK_COUNT_LIMIT EVENT_ATTRIBUTE_COUNT_LIMIT LINK_ATTRIBUTE_COUNT_LIMIT
EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION
INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT PYTHON_DISABLED_INSTRUMENTATIONS
"""
OTLP = "ENDPOINT PROTOCOL HEADERS TIMEOUT COMPRESSION CERTIFICATE CLIENT_KEY CLIENT_CERTIFICATE INSECURE"


# --- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_every_setting_has_help_and_a_variable_of_its_own_name(row):
    assert row.help.endswith(".")
    if row.name != "redact":
        assert row.variables[0].name == f"MMTRACE_{row.name.upper()}"


def test_the_table_is_the_fields_of_settings_and_its_defaults_are_theirs():
    assert [row.name for row in TABLE] == [field.name for field in dataclasses.fields(Settings)]
    defaults = Settings.load({})
    assert [getattr(defaults, row.name) for row in TABLE] == [row.default for row in TABLE]
    assert Settings() == defaults


def test_every_standard_variable_is_known():
    known = {variable.name for row in TABLE for variable in row.variables}
    standard = {f"OTEL_{name}" for name in STANDARD.split()}
    general = {f"OTEL_EXPORTER_OTLP_{name}" for name in OTLP.split()}
    special = {f"OTEL_EXPORTER_OTLP_{{SIGNAL}}_{name}" for name in OTLP.split()}
    assert standard | general | special <= known


def test_the_markdown_names_every_setting_variable_and_help():
    text = as_markdown(TABLE)
    for row in TABLE:
        assert f"| `{row.name}` |" in text
        assert row.help in text
        assert all(variable.name.replace("{SIGNAL}", "*") in text for variable in row.variables)


def test_settings_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings.load({}).service = "other"


def test_secrets_are_not_in_their_text():
    made = Settings.load({"OTEL_EXPORTER_OTLP_HEADERS": "key=hush", "HTTPS_PROXY": "http://me:hush@proxy"})
    assert "hush" not in repr(made)


# --- precedence -------------------------------------------------------------------------------------------------------


def test_an_argument_beats_our_variable_beats_the_standard_one_beats_the_default():
    environ = {"MMTRACE_SERVICE": "ours", "OTEL_SERVICE_NAME": "standard"}
    assert Settings.load(environ, service="given").service == "given"
    assert Settings.load(environ).service == "ours"
    assert Settings.load({"OTEL_SERVICE_NAME": "standard"}).service == "standard"
    assert Settings.load({}).service == ""


def test_an_argument_that_is_none_counts_as_not_given():
    assert Settings.load({"MMTRACE_SERVICE": "ours"}, service=None).service == "ours"


def test_an_empty_variable_counts_as_unset():
    environ = {"MMTRACE_SERVICE": " ", "OTEL_SERVICE_NAME": "standard", "OTEL_TRACES_EXPORTER": ""}
    made = Settings.load(environ)
    assert (made.service, made.traces_exporter) == ("standard", ("otlp",))


def test_the_variable_of_a_signal_beats_the_general_one():
    made = Settings.load(
        {
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "a=1",
            "OTEL_EXPORTER_OTLP_HEADERS": "b=2",
        }
    )
    assert made.protocol == ("grpc", "grpc", "http/protobuf")
    assert [dict(headers) for headers in made.headers] == [{"a": "1"}, {"b": "2"}, {"b": "2"}]


def test_attributes_of_the_resource_add_up_key_by_key():
    environ = {"OTEL_RESOURCE_ATTRIBUTES": "a=1,b=1,c=1", "MMTRACE_RESOURCE": "b=2,c=2"}
    made = Settings.load(environ, resource={"c": 3})
    assert made.resource == {"a": "1", "b": "2", "c": 3}


def test_buckets_that_objectives_need_join_the_usual_ones():
    made = Settings.load({"MMTRACE_LATENCY_BUCKETS": "0.4, 0.25"})
    assert made.latency_buckets == (0.25, 0.4)
    assert made.time_buckets == tuple(sorted((*Settings().time_buckets, 0.4)))


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"traces_exporter": "otpl"}, "did you mean 'otlp'"),
        ({"protocol": "http"}, "valid: grpc, http/protobuf"),
        ({"queue_bytes": "many"}, "whole number"),
        ({"queue_bytes": 0}, "at least 1"),
        ({"queue_bytes": 1.5}, "whole number"),
        ({"queue_items": True}, "whole number"),
        ({"schedule_delay": -1}, "at least 0"),
        ({"schedule_delay": float("nan")}, "at least 0"),
        ({"disabled": "perhaps"}, "true or false"),
        ({"service": 7}, "text"),
        ({"headers": "novalue"}, "key=value"),
        ({"temporality": "deltas"}, "did you mean 'delta'"),
        ({"content": "SPANS_ONLY"}, "did you mean 'SPAN_ONLY'"),
        ({"semconv_genai": "1.40"}, "did you mean '1.41'"),
        ({"metrics_exporter": ["otlp", "none"]}, "stands alone"),
        ({"instrument": 3}, "list of names"),
        ({"metric_interval": 0}, "at least 0.001"),
        ({"latency_buckets": "0.4,fast"}, "numbers of seconds above 0"),
        ({"latency_buckets": [0]}, "numbers of seconds above 0"),
        ({"latency_buckets": 0.4}, "numbers of seconds above 0"),
    ],
)
def test_a_wrong_argument_is_named_with_what_is_right(given, told):
    (name,) = given
    with pytest.raises(ConfigurationError, match=name) as raised:
        Settings.load({}, **given)
    assert told in str(raised.value)


def test_a_wrong_variable_of_ours_is_refused():
    with pytest.raises(ConfigurationError, match="MMTRACE_QUEUE_BYTES='lots'"):
        Settings.load({"MMTRACE_QUEUE_BYTES": "lots"})


def test_an_unknown_argument_is_named_with_the_nearest():
    with pytest.raises(ConfigurationError, match="did you mean 'service'"):
        Settings.load({}, servce="x")


def test_an_unknown_variable_of_ours_is_named_with_the_nearest():
    with pytest.raises(ConfigurationError, match="did you mean 'MMTRACE_SERVICE'"):
        Settings.load({"MMTRACE_SERVIC": "x"})


def test_other_variables_are_none_of_our_business():
    assert Settings.load({"OTEL_UNHEARD_OF": "x", "PATH": "/bin"}) == Settings.load({})


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("OTEL_BSP_SCHEDULE_DELAY", "schedule_delay"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "queue_items"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "timeout"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "metric_interval"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "max_links"),
        ("OTEL_SDK_DISABLED", "disabled"),
    ],
)
def test_a_wrong_number_or_flag_in_a_standard_variable_is_warned_of_and_left_out(variable, name, caplog):
    made = Settings.load({variable: "-many"})
    assert getattr(made, name) == getattr(Settings(), name)
    guard.say()
    assert variable in caplog.text


def test_a_wrong_choice_in_a_standard_variable_is_refused():
    with pytest.raises(ConfigurationError, match="OTEL_TRACES_EXPORTER='zipkin'"):
        Settings.load({"OTEL_TRACES_EXPORTER": "zipkin"})


# --- kinds of values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "off"), [("true", True), ("TRUE", True), ("false", False), ("1", False), ("yes", False)]
)
def test_only_true_disables_the_sdk_in_the_standard_variable(text, off):
    assert Settings.load({"OTEL_SDK_DISABLED": text}).disabled is off


@pytest.mark.parametrize(("text", "on"), [("1", True), ("yes", True), ("On", True), ("0", False), ("off", False)])
def test_our_own_flags_take_the_usual_words(text, on):
    assert Settings.load({"MMTRACE_AUTO": text}).auto is on


def test_times_are_seconds_and_milliseconds_only_in_standard_variables():
    made = Settings.load({"OTEL_BSP_SCHEDULE_DELAY": "250", "MMTRACE_METRIC_INTERVAL": "2.5"})
    assert (made.schedule_delay, made.metric_interval) == (0.25, 2.5)


@pytest.mark.parametrize(("text", "seconds"), [("10000", 10.0), ("500", 0.5), ("10", 10.0), ("99.5", 99.5)])
def test_the_otlp_timeout_is_read_as_specified_and_as_stock_python_reads_it(text, seconds):
    assert Settings.load({"OTEL_EXPORTER_OTLP_TIMEOUT": text}).timeout[Signal.TRACES] == seconds


def test_lists_are_split_trimmed_and_free_of_duplicates():
    made = Settings.load({"OTEL_METRICS_EXPORTER": " otlp , prometheus,otlp,"}, disable=["redis"])
    assert made.metrics_exporter == ("otlp", "prometheus")
    assert made.disable == ("redis",)


def test_none_means_no_exporter():
    assert Settings.load({"OTEL_LOGS_EXPORTER": "none"}).logs_exporter == ()


def test_resource_attributes_and_headers_are_percent_decoded():
    made = Settings.load(
        {"OTEL_RESOURCE_ATTRIBUTES": "team=a%2Cb, place=%C3%A9t%C3%A9", "OTEL_EXPORTER_OTLP_HEADERS": "key=Basic%20a=="}
    )
    assert made.resource == {"team": "a,b", "place": "été"}
    assert made.headers[Signal.TRACES] == {"key": "Basic a=="}


@given(st.dictionaries(st.from_regex(r"[a-z.]{1,10}", fullmatch=True), st.text(max_size=20), max_size=5))
def test_any_resource_attribute_survives_percent_encoding(attributes):
    from urllib.parse import quote

    text = ",".join(f"{key}={quote(value, safe='')}" for key, value in attributes.items())
    assert Settings.load({"OTEL_RESOURCE_ATTRIBUTES": text}).resource == attributes


@pytest.mark.parametrize(
    ("value", "mode"),
    [
        (True, "SPAN_ONLY"),
        (False, "NO_CONTENT"),
        ("true", "SPAN_ONLY"),
        ("span_and_event", "SPAN_AND_EVENT"),
        ("EVENT_ONLY", "EVENT_ONLY"),
    ],
)
def test_content_is_a_mode_or_a_flag(value, mode):
    assert Settings.load({}, content=value).content == mode


@pytest.mark.parametrize(
    ("opt_in", "profile"), [("", "1.41"), ("http,database", "1.41"), ("http, gen_ai_latest_experimental", "next")]
)
def test_the_shared_switch_of_conventions_decides_on_genai_names_where_it_speaks_of_them(opt_in, profile):
    assert Settings.load({"OTEL_SEMCONV_STABILITY_OPT_IN": opt_in}).semconv_genai == profile


def test_carriers_are_switches_by_library():
    assert Settings.load({"MMTRACE_CARRIERS": "kafka=false,redis=true"}).carriers == {"kafka": False, "redis": True}
    assert Settings.load({}, carriers={"kafka": True}).carriers == {"kafka": True}


def test_callables_are_arguments():
    redact = str.upper
    assert Settings.load({}, redact=redact).redact is redact


# --- what is made of them ---------------------------------------------------------------------------------------------


def test_the_service_is_named_or_taken_from_the_resource_or_unknown():
    assert Settings.load({}, service="a", resource={"service.name": "b"}).service_name == "a"
    assert Settings.load({"OTEL_RESOURCE_ATTRIBUTES": "service.name=b"}).service_name == "b"
    assert Settings.load({}).service_name == "unknown_service"
    made = Settings.load({}, service="a", version="2", resource={"x": 1})
    assert made.resource_attributes == {"service.name": "a", "service.version": "2", "x": 1}


@pytest.mark.parametrize(
    ("environ", "urls"),
    [
        ({}, ["http://localhost:4318/v1/traces", "http://localhost:4318/v1/metrics", "http://localhost:4318/v1/logs"]),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector:1234/base/"},
            [f"https://collector:1234/base/v1/{name}" for name in ("traces", "metrics", "logs")],
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector",
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://jaeger:4318/otlp/v1/traces",
                "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://logs:4318",
            },
            ["http://jaeger:4318/otlp/v1/traces", "http://collector/v1/metrics", "http://logs:4318/"],
        ),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            ["http://localhost:4317"] * 3,
        ),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"},
            ["collector:4317"] * 3,
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector/otlp?tenant=a"},
            [f"https://collector/otlp/v1/{name}?tenant=a" for name in ("traces", "metrics", "logs")],
        ),
    ],
)
def test_addresses_are_joined_as_specified(environ, urls):
    made = Settings.load(environ)
    assert [made.target(signal).url for signal in Signal] == urls


def test_an_argument_is_the_base_address_and_beats_the_variable_of_a_signal():
    made = Settings.load({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://other/v1/traces"}, endpoint="http://here:1")
    assert made.target(Signal.TRACES).url == "http://here:1/v1/traces"


def test_a_target_has_everything_that_a_signal_needs():
    made = Settings.load(
        {
            "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "2000",
            "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION": "gzip",
            "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE": "ca.pem",
            "OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY": "key.pem",
            "OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE": "me.pem",
            "OTEL_EXPORTER_OTLP_METRICS_INSECURE": "true",
        }
    )
    target = made.target(Signal.METRICS)
    assert (target.timeout, target.compression, target.insecure) == (2.0, "gzip", True)
    assert target.files == ("ca.pem", "me.pem", "key.pem")
    assert made.target(Signal.TRACES).files == (None, None, None)


@pytest.mark.parametrize(
    ("endpoint", "environ", "proxy"),
    [
        ("http://a.test", {"HTTP_PROXY": "http://p:1"}, "http://p:1"),
        ("http://a.test", {"http_proxy": "p:1"}, "http://p:1"),
        ("http://a.test", {"HTTPS_PROXY": "http://p:1"}, None),
        ("https://a.test", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ("http://a.test", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "b.test,.test"}, None),
        ("http://a.test", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "a.test"}, None),
        ("http://ba.test", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "a.test"}, "http://p:1"),
        ("http://a.test", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "*"}, None),
        ("http://a.test", {"HTTP_PROXY": "http://p:1", "MMTRACE_HTTP_PROXY": "http://ours"}, "http://ours"),
    ],
)
def test_proxies_are_those_that_other_clients_use(endpoint, environ, proxy):
    assert Settings.load(environ, endpoint=endpoint).target(Signal.TRACES).proxy == proxy


def test_limits_fit_span_limits_and_fall_back_to_the_general_ones():
    made = Settings.load({"OTEL_ATTRIBUTE_COUNT_LIMIT": "5", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "9"})
    limits = SpanLimits(**made.span_limits)
    assert (limits.max_span_attributes, limits.max_event_attributes, limits.max_events) == (5, 5, 128)
    assert (limits.max_span_attribute_length, limits.max_attribute_length) == (9, None)


def test_defaults_are_understood_by_those_who_get_them():
    made = Settings()
    assert sampler_from(made.sampler, made.sampler_arg)
    assert propagator_from(made.propagators)


def test_defaults_are_those_of_the_pipeline():
    class Nowhere:
        where = "nowhere"
        quiet_before_fork = False
        export = staticmethod(lambda *_: ACCEPTED)
        close = staticmethod(lambda: None)

    made, pipeline = Settings(), Pipeline(Nowhere())
    assert pipeline._bounds == (made.queue_bytes, made.queue_items)
    assert (pipeline._max_batch_items, pipeline._max_batch_bytes) == (made.batch_items, made.batch_bytes)
    assert (pipeline._schedule_delay, pipeline._export_timeout) == (made.schedule_delay, made.export_timeout)
    pipeline.shutdown(1)
