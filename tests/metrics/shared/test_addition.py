"""Two processes that measured apart say together what one would have said that measured it all."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import Exemplar, MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, NumberDataPoint
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse

from mmtrace.metrics.exposition import families
from mmtrace.metrics.reader import OnDemandReader
from mmtrace.metrics.shared.addition import add, zero

NUMBERS = st.floats(0, 1e12) | st.floats(0, 10)


def recorded(values, *, exponential):
    """The one point of a stock histogram that recorded `values`, and the snapshot that it is in."""
    reader = OnDemandReader(exponential=exponential)
    provider = MeterProvider([reader], shutdown_on_exit=False)
    histogram = provider.get_meter("shop").create_histogram("h")
    for value in values:
        histogram.record(value)
    data = reader.read()
    provider.shutdown()
    return data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points[0], data


def edges(point, data):
    """Count by upper bound, as Prometheus is told."""
    data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points[:] = [point]

    class Collector:
        def collect(self):
            return families(data)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector())
    return {
        float(sample.labels["le"]): sample.value
        for family in parse(generate_latest(registry).decode())
        for sample in family.samples
        if sample.name == "h_bucket"
    }


@pytest.mark.parametrize("exponential", [False, True])
@given(one=st.lists(NUMBERS, min_size=1, max_size=30), other=st.lists(NUMBERS, min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_the_sum_of_two_histograms_is_the_histogram_of_both(exponential, one, other):
    first, data = recorded(one, exponential=exponential)
    second, _ = recorded(other, exponential=exponential)
    summed, (whole, _) = add(first, second), recorded(one + other, exponential=exponential)
    assert (summed.count, summed.min, summed.max) == (whole.count, whole.min, whole.max)
    assert summed.sum == pytest.approx(whole.sum)
    for edge, below in edges(summed, data).items():
        assert below == sum(value <= edge for value in one + other)


@given(values=st.lists(NUMBERS, min_size=1, max_size=30), exponential=st.booleans())
@settings(max_examples=60, deadline=None)
def test_nothing_added_changes_nothing(values, exponential):
    point, data = recorded(values, exponential=exponential)
    summed = add(zero(point), point)
    assert edges(summed, data).items() <= edges(point, data).items()
    assert (summed.count, summed.sum, summed.min, summed.max) == (point.count, point.sum, point.min, point.max)


def test_the_sum_of_exponential_histograms_that_lie_far_apart_takes_no_more_room_than_either():
    one, data = recorded([1e-300], exponential=True)
    other, _ = recorded([1e300, 1.0000001e300], exponential=True)
    summed = add(one, other)
    assert len(summed.positive.bucket_counts) <= 160
    assert edges(summed, data)[float("inf")] == 3


def histogram(bounds, counts, exemplars=()):
    return HistogramDataPoint({"a": 1}, 1, 2, sum(counts), 1.0, counts, bounds, None, None, list(exemplars))


def test_the_buckets_of_another_release_are_added_as_a_whole_to_those_that_reach_as_far():
    summed = add(histogram((1.0, 10.0), (1, 1, 1)), histogram((0.5, 5.0, 20.0), (1, 2, 4, 8)))
    assert summed.bucket_counts == (2, 3, 13)
    assert summed.count == 18


def test_each_bucket_keeps_its_newest_exemplar():
    old, new, other = Exemplar({}, 0.5, 10), Exemplar({}, 0.6, 20), Exemplar({}, 3.0, 5)
    summed = add(histogram((1.0,), (1, 1), [old, other]), histogram((1.0,), (1, 0), [new]))
    assert summed.exemplars == [new, other]


def test_a_number_that_was_an_integer_stays_one():
    one, other = NumberDataPoint({}, 1, 2, 3), NumberDataPoint({}, 1, 4, 4)
    summed = add(one, other)
    assert (summed.value, type(summed.value), summed.time_unix_nano) == (7, int, 4)
    assert zero(summed).value == 0
