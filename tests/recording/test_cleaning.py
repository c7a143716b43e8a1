import collections
import enum
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.attributes import BoundedAttributes

from mmtrace.recording.cleaning import clean, clean_value

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
values = st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(min_size=1), inner), max_leaves=20)


@pytest.mark.skipif(
    "a" not in BoundedAttributes(attributes={"a": {"b": 1}}), reason="this API does not know nested values yet"
)
@given(st.dictionaries(st.text(), values, max_size=12), st.none() | st.integers(0, 6), st.none() | st.integers(0, 4))
def test_cleans_as_the_api_does(attributes, limit, length):
    stock = BoundedAttributes(limit, attributes, max_value_len=length)
    kept, dropped = clean(attributes, limit, length)
    assert kept == dict(stock)
    assert dropped == stock.dropped


@given(values)
def test_cleaning_twice_changes_nothing(value):
    once = clean_value(value)
    assert clean_value(once) == once


class Color(str, enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Speaking:
    def __str__(self):
        return "I speak"


class Mute:
    pass


class Failing:
    def __str__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Color.RED, "red"),
        (Level.HIGH, 3),
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.int64(7), 7),
        (collections.deque([1, 2]), (1, 2)),
        (range(3), (0, 1, 2)),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"ab"), b"ab"),
        (Speaking(), "I speak"),
        (Mute(), None),
        (Failing(), None),
        ({1: "one", Mute(): "dropped", "": "dropped"}, {"1": "one"}),
    ],
)
def test_other_values_become_what_otlp_can_say(value, expected):
    cleaned = clean_value(value)
    assert cleaned == expected
    assert type(cleaned) is type(expected)


def test_a_value_that_contains_itself_ends():
    value = [1]
    value += [value, value]
    assert clean_value(value) == (1, None, None)


def test_nesting_has_an_end():
    value = deepest = []
    for _ in range(100):
        deepest.append([])
        deepest = deepest[0]
    cleaned, depth = clean_value(value), 0
    while cleaned:
        cleaned, depth = cleaned[0], depth + 1
    assert depth <= 32


def test_keys_that_are_no_text_are_dropped():
    assert clean({1: "a", None: "b", "": "c", "good": "d", Color.RED: "e"}) == ({"good": "d", "red": "e"}, 3)


@pytest.mark.parametrize("attributes", [None, {}, [], "text", 5, [("a", 1)]])
def test_what_is_no_mapping_is_no_attributes(attributes):
    assert clean(attributes) == ({}, 0)


def test_the_callers_mapping_is_not_kept():
    given = {"a": 1}
    kept, _ = clean(given)
    given["b"] = 2
    assert kept == {"a": 1}


def test_non_finite_numbers_stay():
    assert math.isnan(clean_value(math.nan))
    assert clean_value([math.inf]) == (math.inf,)
