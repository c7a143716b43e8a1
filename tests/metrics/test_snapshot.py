import gc
import types

import pytest
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, ExponentialHistogram, Gauge, Histogram, Metric, Sum
from opentelemetry.sdk.resources import Resource as SdkResource

from mmtrace import attributes as names
from mmtrace.metrics import ModelMetrics
from mmtrace.metrics.reader import OnDemandReader
from mmtrace.metrics.snapshot import Snapshots
from mmtrace.recording import guard
from mmtrace.spans import Resource

SERVICE = {"service.name": "reranker", "service.instance.id": "1"}
HEALTH = types.SimpleNamespace(
    started=14, adopted=3, exported=5, sampled_out=7, dropped={"queue_full": 2, "rejected": 1}, queue_spans=2,
    queue_bytes=300, queue_capacity=1000, spool_spans=4, spool_bytes=600,
)  # fmt: skip


@pytest.fixture
def model_metrics():
    metrics = ModelMetrics()
    series = metrics.series("reranker", task="rerank")
    series.begin()
    series.end("ok", "", 0.5, trace_id=11, span_id=12, input_tokens=7)
    return metrics


@pytest.fixture
def provider():
    """Make a stock MeterProvider with our reader on it."""
    made = []

    def make(reader, attributes=SERVICE):
        made.append(MeterProvider([reader], resource=SdkResource(attributes)))
        return made[-1]

    yield make
    for meters in made:
        meters.shutdown()


def resource():
    return Resource(SERVICE)


def metrics_of(data):
    return {
        (scope.scope.name, metric.name): metric
        for part in data.resource_metrics
        for scope in part.scope_metrics
        for metric in scope.metrics
    }


def test_model_metrics_are_in_mmtraces_own_scope_of_the_service(model_metrics):
    (part,) = Snapshots(model_metrics, resource=resource, version="1.2").collect().resource_metrics
    assert dict(part.resource.attributes) == SERVICE
    (scope,) = part.scope_metrics
    assert (scope.scope.name, scope.scope.version, scope.schema_url) == ("mmtrace", "1.2", names.SCHEMA_URL)
    assert [metric.name for metric in scope.metrics] == [
        "mmtrace.model.call.duration",
        "mmtrace.model.calls.active",
        "mmtrace.model.tokens",
    ]


def test_a_histogram_has_bounds_counts_times_and_exemplars(model_metrics):
    metric = metrics_of(Snapshots(model_metrics, resource=resource).collect())["mmtrace", names.CALL_DURATION.name]
    assert (metric.unit, metric.description) == ("s", names.CALL_DURATION.description)
    assert isinstance(metric.data, Histogram)
    assert metric.data.aggregation_temporality is AggregationTemporality.CUMULATIVE
    (point,) = metric.data.data_points
    assert point.attributes == {"model": "reranker", "task": "rerank", "outcome": "ok"}
    assert point.explicit_bounds == names.TIME_BUCKETS
    assert (point.count, point.sum, sum(point.bucket_counts)) == (1, 0.5, 1)
    assert point.start_time_unix_nano == model_metrics.start_time < point.time_unix_nano
    (exemplar,) = point.exemplars
    assert (exemplar.trace_id, exemplar.span_id, exemplar.value) == (11, 12, 0.5)


def test_tokens_are_a_counter_and_active_calls_are_none(model_metrics):
    found = metrics_of(Snapshots(model_metrics, resource=resource).collect())
    assert found["mmtrace", names.MODEL_TOKENS.name].data.is_monotonic is True
    assert found["mmtrace", names.CALLS_ACTIVE.name].data.is_monotonic is False


def test_the_pipelines_health_is_part_of_it():
    found = metrics_of(Snapshots(ModelMetrics(), resource=resource, health=lambda: HEALTH).collect())
    values = {
        (name, *point.attributes.values()): (type(metric.data), point.value)
        for (_, name), metric in found.items()
        for point in metric.data.data_points
    }
    assert values == {
        ("mmtrace.sdk.spans.started",): (Sum, 14),
        ("mmtrace.sdk.spans.adopted",): (Sum, 3),
        ("mmtrace.sdk.spans.exported",): (Sum, 5),
        ("mmtrace.sdk.spans.sampled_out",): (Sum, 7),
        ("mmtrace.sdk.spans.dropped", "queue_full"): (Sum, 2),
        ("mmtrace.sdk.spans.dropped", "rejected"): (Sum, 1),
        ("mmtrace.sdk.queue.spans",): (Gauge, 2),
        ("mmtrace.sdk.queue.bytes",): (Gauge, 300),
        ("mmtrace.sdk.queue.capacity",): (Gauge, 1000),
        ("mmtrace.sdk.spool.spans",): (Gauge, 4),
        ("mmtrace.sdk.spool.bytes",): (Gauge, 600),
    }


def test_instruments_of_the_application_are_part_of_it(model_metrics, provider):
    reader = OnDemandReader()
    meter = provider(reader).get_meter("shop")
    meter.create_counter("orders").add(3, {"kind": "a"})
    meter.create_observable_gauge("stock", [lambda _: [Observation(5)]])
    data = Snapshots(model_metrics, reader, resource=resource).collect()
    assert len(data.resource_metrics) == 1, "equal resources are one"
    found = metrics_of(data)
    assert found["shop", "orders"].data.data_points[0].value == 3
    assert found["shop", "stock"].data.data_points[0].value == 5
    assert ("mmtrace", names.CALL_DURATION.name) in found


def test_an_application_with_a_resource_of_its_own_keeps_it(model_metrics, provider):
    reader = OnDemandReader()
    provider(reader, {"service.name": "other"}).get_meter("shop").create_counter("orders").add(1)
    data = Snapshots(model_metrics, reader, resource=resource).collect()
    assert [part.resource.attributes["service.name"] for part in data.resource_metrics] == ["reranker", "other"]


def test_a_meter_with_our_scopes_name_does_not_hide_our_metrics(model_metrics, provider):
    reader = OnDemandReader()
    meter = provider(reader).get_meter("mmtrace", "1.2", names.SCHEMA_URL)
    meter.create_counter("orders").add(1)
    (part,) = Snapshots(model_metrics, reader, resource=resource, version="1.2").collect().resource_metrics
    (scope,) = part.scope_metrics
    assert {metric.name for metric in scope.metrics} >= {"orders", names.CALL_DURATION.name}


def test_exemplars_of_the_applications_instruments_are_kept(provider, stock_span):
    reader = OnDemandReader()
    histogram = provider(reader).get_meter("shop").create_histogram("price")
    with stock_span() as span:
        histogram.record(3.0)
    found = metrics_of(Snapshots(ModelMetrics(), reader, resource=resource).collect())
    (exemplar,) = found["shop", "price"].data.data_points[0].exemplars
    assert exemplar.span_id == span.get_span_context().span_id


def test_a_reader_that_no_provider_has_yet_gives_nothing(model_metrics):
    data = Snapshots(model_metrics, OnDemandReader(), resource=resource).collect()
    assert {scope for scope, _ in metrics_of(data)} == {"mmtrace"}


def test_histograms_are_exponential_where_that_is_asked_for(provider):
    reader = OnDemandReader(exponential=True)
    provider(reader).get_meter("shop").create_histogram("price").record(3.0)
    found = metrics_of(Snapshots(ModelMetrics(), reader, resource=resource).collect())
    assert isinstance(found["shop", "price"].data, ExponentialHistogram)


def test_flushing_the_provider_exports_and_takes_nothing_away(provider):
    asked = []
    reader = OnDemandReader("delta", on_flush=lambda timeout: asked.append(timeout) or True)
    meters = provider(reader)
    meters.get_meter("shop").create_counter("orders").add(3)
    assert meters.force_flush(2000)
    assert len(asked) == 1
    assert 0 < asked[0] <= 2
    found = metrics_of(Snapshots(ModelMetrics(), reader, resource=resource).collect())
    assert found["shop", "orders"].data.data_points[0].value == 3


def test_more_metrics_join_ours_and_one_that_fails_takes_no_other_with_it(model_metrics):
    def fails():
        raise RuntimeError("no such file")

    def more():
        return [Metric("mmtrace.gc.pause", "", "s", Gauge([]))]

    found = metrics_of(Snapshots(model_metrics, resource=resource, extra=[fails, more]).collect())
    assert ("mmtrace", "mmtrace.gc.pause") in found
    assert ("mmtrace", names.CALL_DURATION.name) in found
    assert guard.faults["metrics.extra"] == 1


def test_a_reader_that_fails_takes_nothing_of_ours_with_it(model_metrics, provider):
    class Failing(OnDemandReader):
        def _receive_metrics(self, metrics_data, timeout_millis=10_000, **kwargs):
            raise RuntimeError

    reader = Failing()
    provider(reader).get_meter("shop").create_counter("orders").add(1)
    found = metrics_of(Snapshots(model_metrics, reader, resource=resource).collect())
    assert ("mmtrace", names.CALL_DURATION.name) in found
    assert guard.faults["metrics.reader"] == 1


def test_a_finalizer_that_asks_for_a_snapshot_inside_one_gets_an_empty_one(model_metrics):
    inner = []

    class Finalized:
        def __init__(self):
            self.me = self

        def __del__(self):
            inner.append(snapshots.collect())

    def extra():
        Finalized()
        gc.collect()
        return []

    snapshots = Snapshots(model_metrics, resource=resource, extra=[extra])
    assert metrics_of(snapshots.collect())
    assert [data.resource_metrics for data in inner] == [[]]


class TestGrowth:
    @pytest.fixture
    def snapshots(self, model_metrics, provider):
        reader = OnDemandReader("delta")
        meter = provider(reader).get_meter("shop")
        self.orders = meter.create_counter("orders")
        self.series = model_metrics.series("reranker", task="rerank")
        return Snapshots(model_metrics, reader, resource=resource, health=lambda: HEALTH, preference="delta")

    def test_each_snapshot_tells_what_was_added_since_the_last(self, snapshots):
        first = metrics_of(snapshots.collect())["mmtrace", names.CALL_DURATION.name]
        assert first.data.aggregation_temporality is AggregationTemporality.DELTA
        self.series.begin()
        self.series.end("ok", "", 0.25, trace_id=21, span_id=22, input_tokens=5)
        self.orders.add(2)
        second = metrics_of(snapshots.collect())
        (point,) = second["mmtrace", names.CALL_DURATION.name].data.data_points
        assert (point.count, point.sum, sum(point.bucket_counts)) == (1, 0.25, 1)
        assert point.start_time_unix_nano == first.data.data_points[0].time_unix_nano
        assert [exemplar.trace_id for exemplar in point.exemplars] == [21]
        assert second["mmtrace", names.MODEL_TOKENS.name].data.data_points[0].value == 5
        assert second["shop", "orders"].data.data_points[0].value == 2

    def test_what_did_not_grow_is_left_out(self, snapshots):
        snapshots.collect()
        left = {name for scope, name in metrics_of(snapshots.collect()) if scope in {"mmtrace", "shop"}}
        assert left == {"mmtrace.model.calls.active", *(metric.name for metric in GAUGES)}

    def test_active_calls_stay_a_total(self, snapshots):
        self.series.begin()
        for _ in range(2):
            active = metrics_of(snapshots.collect())["mmtrace", names.CALLS_ACTIVE.name].data
            assert active.aggregation_temporality is AggregationTemporality.CUMULATIVE
            assert active.data_points[0].value == 1

    def test_an_old_exemplar_is_not_told_again(self, snapshots):
        snapshots.collect()
        self.series.begin()
        self.series.end("ok", "", 0.5, trace_id=21, span_id=22)
        (point,) = metrics_of(snapshots.collect())["mmtrace", names.CALL_DURATION.name].data.data_points
        assert (point.count, point.exemplars) == (1, [])

    def test_totals_that_began_anew_count_from_zero(self, snapshots, model_metrics):
        snapshots.collect()
        model_metrics.start_over()
        self.series.end("ok", "", 0.25)
        (point,) = metrics_of(snapshots.collect())["mmtrace", names.CALL_DURATION.name].data.data_points
        assert (point.count, point.start_time_unix_nano) == (1, model_metrics.start_time)

    def test_low_memory_keeps_totals_of_what_is_observed(self, model_metrics):
        snapshots = Snapshots(model_metrics, resource=resource, health=lambda: HEALTH, preference="lowmemory")
        found = metrics_of(snapshots.collect())
        assert found["mmtrace", names.CALL_DURATION.name].data.aggregation_temporality is AggregationTemporality.DELTA
        started = found["mmtrace", names.SDK_SPANS_STARTED.name].data
        assert started.aggregation_temporality is AggregationTemporality.CUMULATIVE


GAUGES = (
    names.SDK_QUEUE_SPANS, names.SDK_QUEUE_BYTES, names.SDK_QUEUE_CAPACITY, names.SDK_SPOOL_SPANS, names.SDK_SPOOL_BYTES
)  # fmt: skip


def test_callbacks_that_take_longer_than_the_limit_are_left_out_and_totals_stay_what_they_were(model_metrics, provider):
    reader = OnDemandReader(timeout=10)
    meter = provider(reader).get_meter("shop")
    meter.create_counter("orders").add(3)
    meter.create_observable_gauge("slow", [lambda _: [Observation(1)]])
    snapshots = Snapshots(model_metrics, reader, resource=resource)
    assert ("shop", "orders") in metrics_of(snapshots.collect())
    reader._timeout = 0
    found = metrics_of(snapshots.collect())
    assert found["shop", "orders"].data.data_points[0].value == 3
    assert (names.SCOPE, names.CALL_DURATION.name) in found
    assert guard.faults["metrics.reader"] == 1
