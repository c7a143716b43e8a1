"""The two renderings of one snapshot say the same, whatever is in it."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics import Exemplar, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource as SdkResource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from mmtrace import attributes as names
from mmtrace.metrics import ModelMetrics
from mmtrace.metrics.encode import encode
from mmtrace.metrics.exposition import families
from mmtrace.metrics.prometheus_names import family_name, labels
from mmtrace.metrics.reader import OnDemandReader
from mmtrace.metrics.snapshot import Snapshots
from mmtrace.recording import guard
from mmtrace.spans import Resource

TOTAL = AggregationTemporality.CUMULATIVE

IN_PROMETHEUS = {
    "mmtrace.model.call.duration": "mmtrace_model_call_duration_seconds",
    "mmtrace.model.call.queue.duration": "mmtrace_model_call_queue_duration_seconds",
    "mmtrace.model.call.device.duration": "mmtrace_model_call_device_duration_seconds",
    "mmtrace.model.call.time_to_first_output": "mmtrace_model_call_time_to_first_output_seconds",
    "mmtrace.model.call.time_per_output": "mmtrace_model_call_time_per_output_seconds",
    "mmtrace.model.batch.size": "mmtrace_model_batch_size",
    "mmtrace.model.calls.active": "mmtrace_model_calls_active",
    "mmtrace.model.tokens": "mmtrace_model_tokens_total",
    "mmtrace.pipeline.duration": "mmtrace_pipeline_duration_seconds",
    "mmtrace.sdk.spans.started": "mmtrace_sdk_spans_started_total",
    "mmtrace.sdk.spans.adopted": "mmtrace_sdk_spans_adopted_total",
    "mmtrace.sdk.spans.exported": "mmtrace_sdk_spans_exported_total",
    "mmtrace.sdk.spans.sampled_out": "mmtrace_sdk_spans_sampled_out_total",
    "mmtrace.sdk.spans.dropped": "mmtrace_sdk_spans_dropped_total",
    "mmtrace.sdk.queue.spans": "mmtrace_sdk_queue_spans",
    "mmtrace.sdk.queue.bytes": "mmtrace_sdk_queue_bytes",
    "mmtrace.sdk.queue.capacity": "mmtrace_sdk_queue_capacity_bytes",
    "mmtrace.sdk.spool.spans": "mmtrace_sdk_spool_spans",
    "mmtrace.sdk.spool.bytes": "mmtrace_sdk_spool_bytes",
    "mmtrace.gc.pause": "mmtrace_gc_pause_seconds",
    "mmtrace.event_loop.lag": "mmtrace_event_loop_lag_seconds",
}


def rendered(data, generate=generate_openmetrics):
    class Collector:
        def collect(self):
            return families(data)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector())
    return generate(registry).decode()


def samples(data, parse=parse_openmetrics, generate=generate_openmetrics):
    found = {}
    for family in parse(rendered(data, generate)):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample
    return found


def values(data, **how):
    return {key: sample.value for key, sample in samples(data, **how).items()}


def data_of(*metrics, scope="shop", resource=None):
    scopes = [ScopeMetrics(InstrumentationScope(scope), metrics, "")]
    return MetricsData([ResourceMetrics(SdkResource(resource or {}), scopes, "")])


def number(name, value, attributes=None, unit="", monotonic=None, exemplars=()):
    points = [NumberDataPoint(attributes or {}, 1, 2, value, list(exemplars))]
    data = Gauge(points) if monotonic is None else Sum(points, TOTAL, is_monotonic=monotonic)
    return Metric(name, "", unit, data)


def histogram(name, bounds, counts, attributes=None, total=1.0, exemplars=()):
    point = HistogramDataPoint(attributes or {}, 1, 2, sum(counts), total, counts, bounds, 0, 0, list(exemplars))
    return Metric(name, "", "s", Histogram([point], TOTAL))


def test_every_metric_of_mmtrace_has_the_name_that_the_rules_and_dashboards_use():
    assert IN_PROMETHEUS.keys() == {metric.name for metric in names.METRICS}
    for metric in names.METRICS:
        kind = {"updown": "gauge"}.get(metric.kind, metric.kind)
        name, _ = family_name(metric.name, metric.unit, kind)
        assert name + ("_total" if kind == "counter" else "") == IN_PROMETHEUS[metric.name]


@pytest.mark.parametrize(
    ("name", "unit", "kind", "expected"),
    [
        ("http.server.request.duration", "s", "histogram", "http_server_request_duration_seconds"),
        ("process.memory.usage", "By", "gauge", "process_memory_usage_bytes"),
        ("process.cpu.utilization", "1", "gauge", "process_cpu_utilization_ratio"),
        ("orders", "1", "counter", "orders"),
        ("orders.total", "", "counter", "orders"),
        ("request.seconds", "s", "histogram", "request_seconds"),
        ("speed", "m/s", "gauge", "speed_meters_per_second"),
        ("rate", "{request}/s", "gauge", "rate_per_second"),
        ("queue.size", "{item}", "gauge", "queue_size"),
        ("battery", "%", "gauge", "battery_percent"),
        ("99.luftballons", "", "gauge", "_99_luftballons"),
        ("a..b--c", "", "gauge", "a_b_c"),
        ("rule:like", "", "gauge", "rule_like"),
        ("odd", "furlongs/fortnight", "gauge", "odd_furlongs_per_fortnight"),
        ("größe", "By", "gauge", "gr_e_bytes"),
    ],
)
def test_names_follow_the_compatibility_specification(name, unit, kind, expected):
    assert family_name(name, unit, kind)[0] == expected


def test_labels_follow_the_compatibility_specification():
    given = {
        "http.route": "/a",
        "ok": True,
        "n": 3,
        "list": ["a", 1],
        "1st": "x",
        "__a": "y",
        "empty": "",
        "none": None,
    }
    assert labels(given) == {
        "http_route": "/a", "ok": "true", "n": "3", "list": '["a", 1]', "key_1st": "x", "key__a": "y",
    }  # fmt: skip


def test_values_of_keys_that_become_one_label_are_joined():
    assert labels({"a.b": "1", "a_b": "2", "a-b": "3"}) == {"a_b": "3;1;2"}


def test_an_attribute_cannot_take_the_place_of_a_label_that_has_a_meaning():
    data = data_of(histogram("h", (1.0,), (1, 0), {"le": "mine", "otel.scope.name": "also mine"}))
    for name, labels_ in samples(data):
        if name == "h_seconds_bucket":
            assert dict(labels_)["exported_le"] == "mine"
            assert dict(labels_)["exported_otel_scope_name"] == "also mine"
            assert dict(labels_)["otel_scope_name"] == "shop"


def test_metrics_of_one_name_from_two_meters_are_told_apart():
    scopes = [
        ScopeMetrics(InstrumentationScope(name), [number("a", value)], "") for name, value in (("x", 1), ("y", 2))
    ]
    found = values(MetricsData([ResourceMetrics(SdkResource({}), scopes, "")]))
    assert found == {
        ("a", frozenset({("otel_scope_name", "x")})): 1,
        ("a", frozenset({("otel_scope_name", "y")})): 2,
    }


@pytest.mark.parametrize(
    "second",
    [
        number("a", 2),
        histogram("a", (), (1,)),
        number("a.count", 2),
        number("a_bucket", 2, monotonic=False),
    ],
    ids=lambda metric: metric.name,
)
def test_of_two_metrics_that_cannot_share_a_name_the_first_stays(second):
    first = Metric("a", "", "", histogram("a", (1.0,), (1, 2)).data)
    if second.name == "a" and isinstance(second.data, Histogram):
        first = number("a_seconds", 1)
    assert values(data_of(first, second)) == values(data_of(first))
    assert any(cause.startswith("metrics.prometheus.name") for cause in guard.faults)


def test_of_two_points_that_have_the_same_labels_the_first_stays():
    data = data_of(number("a", 1, {"b": True}), number("a", 2, {"b": "true"}))
    assert list(values(data).values()) == [1]
    assert any(cause.startswith("metrics.prometheus.point") for cause in guard.faults)


def test_growth_is_no_total_and_is_left_out():
    points = [NumberDataPoint({}, 1, 2, 3)]
    growth = Metric("a", "", "", Sum(points, AggregationTemporality.DELTA, is_monotonic=True))
    assert values(data_of(growth, number("b", 1))).keys() == {("b", frozenset({("otel_scope_name", "shop")}))}
    assert guard.faults["metrics.prometheus.growth"] == 1


def test_each_bucket_shows_its_newest_exemplar():
    exemplars = [Exemplar({}, 0.5, 10**9, 1, 2), Exemplar({}, 0.6, 3 * 10**9, 3, 4), Exemplar({}, 7, 2 * 10**9, 5, 6)]
    found = samples(data_of(histogram("h", (1.0, 5.0), (2, 0, 1), exemplars=exemplars)))
    by_edge = {dict(given).get("le"): sample.exemplar for (_, given), sample in found.items()}
    assert by_edge["1.0"].labels == {"trace_id": f"{4:032x}", "span_id": f"{3:016x}"}
    assert (by_edge["1.0"].value, float(by_edge["1.0"].timestamp)) == (0.6, 3.0)
    assert by_edge["5.0"] is None
    assert by_edge["+Inf"].labels["trace_id"] == f"{6:032x}"


def test_a_counter_shows_its_exemplar_and_one_without_a_span_has_no_ids():
    found = samples(data_of(number("c", 3, monotonic=True, exemplars=[Exemplar({}, 2, 10**9)])))
    ((_, sample),) = found.items()
    assert (sample.exemplar.labels, sample.exemplar.value) == ({}, 2.0)


@given(st.lists(st.floats(0, 1.7e308) | st.floats(0, 10), min_size=1, max_size=50))
@settings(max_examples=50, deadline=None)
def test_an_exponential_histogram_is_counted_exactly_in_powers_of_two(measured):
    reader = OnDemandReader(exponential=True)
    provider = MeterProvider([reader])
    instrument = provider.get_meter("shop").create_histogram("h")
    for value in measured:
        instrument.record(value)
    found = values(reader.read())
    provider.shutdown()
    for (name, labels_), below in found.items():
        if name == "h_bucket":
            edge = float(dict(labels_)["le"])
            assert below == sum(value <= edge for value in measured)
    count = next(value for (name, _), value in found.items() if name == "h_count")
    assert count == len(measured)


WORDS = st.sampled_from(
    ["reranker", "ocr", "a b", 'quote "', "back\\slash", "new\nline", "größe", "\ud800", "", "le", "ok"]
)
SECONDS = st.floats(0, 1000)


@given(
    st.lists(
        st.tuples(WORDS, WORDS, WORDS, st.sampled_from(["ok", "error", "cancelled"]), WORDS, SECONDS), max_size=20
    ),
    st.integers(1, 4),
)
@settings(max_examples=50, deadline=None)
def test_prometheus_and_otlp_say_the_same_of_model_calls(calls, limit):
    metrics = ModelMetrics(limit=limit)
    for number_, (model, version, task, outcome, error, seconds) in enumerate(calls):
        series = metrics.series(model, version, task)
        series.begin()
        series.end(outcome, error, seconds, trace_id=number_, span_id=number_, queue=seconds / 2, input_tokens=number_)
        metrics.pipeline(model, outcome, error, seconds)
        if number_ % 3 == 0:
            series.begin()
            series.batch(number_)
    data = Snapshots(metrics, resource=lambda: Resource({"service.name": "shop"})).collect()
    expected, exemplars = by_otlp(encode(data)[0])
    found = samples(data)
    assert {key: sample.value for key, sample in found.items() if key[0] != "target_info"} == expected
    assert {key: sample.exemplar.labels["trace_id"] for key, sample in found.items() if sample.exemplar} == exemplars
    in_text = values(data, parse=parse_text, generate=generate_latest)
    assert {key: value for key, value in in_text.items() if key[0] != "target_info"} == expected


def by_otlp(body):
    """The samples, and the trace ids of exemplars, that an OTLP request means for Prometheus."""
    expected, exemplars = {}, {}
    for part in ExportMetricsServiceRequest.FromString(body).resource_metrics:
        for metric in (metric for scope in part.scope_metrics for metric in scope.metrics):
            name = IN_PROMETHEUS[metric.name]
            data = getattr(metric, metric.WhichOneof("data"))
            for point in data.data_points:
                labels_ = {
                    attribute.key.replace(".", "_"): attribute.value.string_value or "true"
                    for attribute in point.attributes
                }
                if metric.WhichOneof("data") != "histogram":
                    expected[name, frozenset(labels_.items())] = point.as_int
                    continue
                expected[f"{name}_count", frozenset(labels_.items())] = point.count
                expected[f"{name}_sum", frozenset(labels_.items())] = point.sum
                below = 0
                for bound, count in zip((*point.explicit_bounds, math.inf), point.bucket_counts, strict=True):
                    below += count
                    edge = "+Inf" if bound == math.inf else repr(bound)
                    key = (f"{name}_bucket", frozenset({**labels_, "le": edge}.items()))
                    expected[key] = below
                    for exemplar in point.exemplars:
                        if lower(point.explicit_bounds, bound) < exemplar.as_double <= bound:
                            exemplars[key] = exemplar.trace_id.hex()
    return expected, exemplars


def lower(bounds, bound):
    return max((other for other in bounds if other < bound), default=-math.inf)


NAMES = st.text(min_size=1, max_size=8) | st.sampled_from(
    ["a", "a.total", "a_total", "a.count", "a_bucket", "target", "a_created"]
)
UNITS = st.sampled_from(["", "1", "s", "By", "%", "{x}", "m/s", "{x}/s", "a b", "Ω"])
ATTRIBUTES = st.dictionaries(
    st.text(min_size=1, max_size=4) | st.sampled_from(["le", "a.b", "a_b", "job", "otel.scope.name"]),
    st.text(max_size=4) | st.booleans() | st.integers() | st.floats() | st.lists(st.text(max_size=2), max_size=2),
    max_size=3,
)
NUMBERS = st.floats(0, 1e9) | st.integers(0, 1 << 60)


@st.composite
def any_metric(draw):
    name, unit, attributes = draw(NAMES), draw(UNITS), draw(ATTRIBUTES)
    exemplars = draw(st.lists(st.builds(Exemplar, st.just({}), NUMBERS, st.integers(0, 2**62)), max_size=2))
    if draw(st.booleans()):
        metric = number(name, draw(NUMBERS), attributes, unit, draw(st.sampled_from([None, True, False])), exemplars)
    else:
        bounds = sorted(draw(st.sets(st.floats(-100, 100), max_size=4)))
        counts = draw(st.lists(st.integers(0, 9), min_size=len(bounds) + 1, max_size=len(bounds) + 1))
        metric = histogram(name, bounds, counts, attributes, draw(NUMBERS), exemplars)
    return Metric(metric.name, draw(st.text(max_size=5)), unit, metric.data)


@given(st.lists(any_metric(), max_size=5), ATTRIBUTES)
@settings(max_examples=200, deadline=None)
def test_whatever_an_application_measures_the_page_stays_readable(metrics, resource):
    clean = {key: value for key, value in resource.items() if key.strip()}
    data = data_of(*metrics, resource=clean)
    list(parse_openmetrics(rendered(data)))
    list(parse_text(rendered(data, generate_latest)))
