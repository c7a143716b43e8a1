"""What one process writes another reads; what nobody of us wrote is refused."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import Exemplar, MeterProvider
from opentelemetry.sdk.metrics.export import NumberDataPoint

from mmtrace.errors import DecodeError
from mmtrace.metrics import ModelMetrics
from mmtrace.metrics.encode import encode
from mmtrace.metrics.reader import OnDemandReader
from mmtrace.metrics.shared.stored import dump, load
from mmtrace.metrics.snapshot import Snapshots
from mmtrace.spans import Resource

VALUES = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63 - 1)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
ATTRIBUTES = st.dictionaries(KEYS, KEYS | st.booleans() | st.integers(0, 9) | st.tuples(KEYS, KEYS), max_size=3)


def everything(values, attributes, exponential):
    """A snapshot with every kind of instrument of the stock SDK, and our own."""
    reader, metrics = OnDemandReader(exponential=exponential), ModelMetrics()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    meter = provider.get_meter("shop", "1", attributes={"a": "b"})
    meter.create_observable_gauge("gauge", [lambda _: [Observation(value, attributes) for value in values[:1]]], "1")
    for value in values:
        meter.create_counter("counter").add(abs(value), attributes)
        meter.create_up_down_counter("updown").add(value, attributes)
        meter.create_histogram("histogram", "s").record(abs(value), attributes)
    series = metrics.series("m")
    series.begin()
    series.end("ok", "", 0.5, trace_id=2**127, span_id=2**63)
    data = Snapshots(metrics, reader, resource=lambda: Resource({"service.name": "shop", "list": ("a", "b")})).collect()
    provider.shutdown()
    return data


@given(st.lists(VALUES, min_size=1, max_size=5), ATTRIBUTES, st.booleans())
@settings(max_examples=60, deadline=None)
def test_what_is_read_is_what_was_written(values, attributes, exponential):
    data = everything(values, attributes, exponential)
    found = load(dump(data, who="me"))
    assert found.facts["who"] == "me"
    assert encode(found.data) == encode(data)


def test_an_exemplar_keeps_its_ids_and_what_was_filtered_from_it(measured):
    metric = measured.counter("c", 1)
    metric.data.data_points[:] = [NumberDataPoint({}, 1, 2, 1, [Exemplar({"user": "x"}, 1, 5, 3, 4)])]
    data = measured.by(1, metric)
    assert encode(load(dump(data)).data) == encode(data)


METRIC = '{"format": 1, "resources": [[{}, "", [["scope", null, "", {}, [["metric", "", "", %s]]]]]]}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\x00",
        "null",
        "[]",
        "{}",
        '{"format": 1}',
        '{"format": 1, "resources": [[]]}',
        METRIC % '"odd", null, []',
        METRIC % '"sum", true, [[{}, 1, 2, "x", []]]',
        METRIC % '"sum", true, [[{}, 1e999, 2, 1, []]]',
        METRIC % '"histogram", null, [[{}, 1, 2, 3, 3.0, [1, 2], [1.0, 2.0], null, null, []]]',
        "[" * 100_000,
    ],
)
def test_what_is_no_snapshot_is_refused(text):
    with pytest.raises(DecodeError):
        load(text)


def test_another_format_is_refused_by_its_number(measured):
    other = json.loads(dump(measured.by(1, measured.counter("c", 1)))) | {"format": 2}
    with pytest.raises(DecodeError, match="format 2"):
        load(json.dumps(other))


@given(st.integers(0, 2000), st.integers(0, 255))
@settings(max_examples=100, deadline=None)
def test_a_damaged_snapshot_is_read_or_refused_but_never_breaks_anything(place, byte):
    text = bytearray(dump(everything([1.5, 2], {"a": "b"}, False)).encode())
    text[place % len(text)] = byte
    try:
        load(bytes(text))
    except DecodeError:
        pass
