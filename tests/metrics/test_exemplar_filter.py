"""Examples on stock histograms: the first of a kind in 15 seconds, and its span is marked for tail sampling."""

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import mmtrace
from mmtrace import attributes as names
from mmtrace.metrics.exemplar_filter import ExchangeableExemplarFilter, MarkingExemplarFilter, exemplar_filter


@pytest.fixture
def histogram(clock):
    """A stock histogram; `exemplars()` returns the trace ids of its examples since the last call."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], exemplar_filter=MarkingExemplarFilter(clock), shutdown_on_exit=False)
    made = provider.get_meter("test").create_histogram(
        "latency", "s", explicit_bucket_boundaries_advisory=names.TIME_BUCKETS
    )

    def exemplars():
        points = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
        return sorted(exemplar.trace_id for point in points for exemplar in point.exemplars)

    made.exemplars = exemplars
    yield made
    provider.shutdown()


def measure(histogram, seconds, **attributes):
    with mmtrace.span("request") as span:
        histogram.record(seconds, attributes)
    return span.get_span_context().trace_id


def marked(recorded):
    return sorted(span.trace_id for span in recorded.take() if span.attributes.get(names.EXEMPLAR))


def test_the_first_of_a_kind_is_the_example_and_only_its_span_is_marked(recorded, histogram):
    first = measure(histogram, 0.02, route="/a")
    for _ in range(5):
        measure(histogram, 0.02, route="/a")
    assert histogram.exemplars() == marked(recorded) == [first]


def test_another_magnitude_and_another_set_of_attributes_have_examples_of_their_own(recorded, histogram):
    ids = [
        measure(histogram, 0.02, route="/a"),
        measure(histogram, 3.0, route="/a"),
        measure(histogram, 0.02, route="/b"),
    ]
    assert histogram.exemplars() == marked(recorded) == sorted(ids)


def test_fifteen_seconds_later_there_is_a_new_example(recorded, histogram, clock):
    first = measure(histogram, 0.02)
    clock.now += 14.9
    measure(histogram, 0.02)
    clock.now += 0.1
    second = measure(histogram, 0.02)
    histogram.exemplars()
    assert marked(recorded) == sorted([first, second])


def test_outside_a_span_and_after_its_end_nothing_is_an_example(recorded, histogram):
    histogram.record(0.02)
    with mmtrace.span("request") as span:
        pass
    histogram.record(0.02, context=trace.set_span_in_context(span))
    assert histogram.exemplars() == marked(recorded) == []


def test_attributes_that_are_lists_disturb_nobody(recorded, clock):
    with mmtrace.span("request") as span:
        context = trace.set_span_in_context(span)
        assert not MarkingExemplarFilter(clock).should_sample(0.02, 0, {"shapes": ["1x64"]}, context)
    assert marked(recorded) == []


def test_the_setting_names_the_filter():
    assert isinstance(exemplar_filter("trace_based"), MarkingExemplarFilter)
    assert isinstance(exemplar_filter("always_on"), AlwaysOnExemplarFilter)
    assert isinstance(exemplar_filter("always_off"), AlwaysOffExemplarFilter)


def test_a_provider_has_the_filter_of_the_configuration_that_is_in_force(recorded):
    exchangeable = ExchangeableExemplarFilter()
    provider = MeterProvider([InMemoryMetricReader()], exemplar_filter=exchangeable, shutdown_on_exit=False)
    histogram = provider.get_meter("test").create_histogram("latency")
    measure(histogram, 0.02)
    assert marked(recorded) == []
    end_first = exchangeable.choose("trace_based")
    end_second = exchangeable.choose("trace_based")
    end_first()
    assert measure(histogram, 0.02) in marked(recorded)
    end_second()
    measure(histogram, 3.0)
    assert marked(recorded) == []
    provider.shutdown()
