import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtrace.analysis import self_time
from mmtrace.analysis.intervals import clip, length, merge, subtract
from mmtrace.analysis.percentiles import percentile

moments = st.integers(0, 60)
intervals = st.lists(st.tuples(moments, moments), max_size=8)


def instants(found):
    return {instant for start, end in found for instant in range(start, end)}


@given(intervals)
def test_merging_keeps_every_instant_once(found):
    merged = merge(found)
    assert instants(merged) == instants(found)
    assert length(merged) == len(instants(found))
    assert all(before[1] < after[0] for before, after in itertools.pairwise(merged))


@given(intervals, moments, moments)
def test_what_is_subtracted_and_what_is_left_make_the_whole(found, low, high):
    merged = merge(found)
    left = list(subtract((low, high), merged))
    inside = list(clip(merged, (low, high)))
    assert instants(left) | instants(inside) == set(range(low, high))
    assert not instants(left) & instants(inside)


def test_self_time_counts_children_that_overlap_once(story):
    told = story()
    parent = told.span("parent", 0, 100)
    told.span("left", 10, 50, parent=parent)
    told.span("right", 30, 70, parent=parent)
    assert self_time(told.trace, parent).seconds == pytest.approx(0.040)


def test_self_time_is_never_negative_when_children_outlive_their_parent(story):
    told = story()
    parent = told.span("parent", 50, 60)
    told.span("child", 0, 100, parent=parent)
    found = self_time(told.trace, parent)
    assert found.seconds == 0
    assert found.children == ((parent.start_time, parent.end_time),)


def test_a_leaf_is_all_self_time(story):
    told = story()
    leaf = told.span("leaf", 0, 25)
    assert self_time(told.trace, leaf).seconds == pytest.approx(0.025)


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_percentiles_lie_between_the_smallest_and_the_largest_value_and_rise(values):
    ordered = sorted(values)
    found = [percentile(ordered, fraction) for fraction in (0, 0.5, 0.95, 0.99, 1)]
    assert found[0] == ordered[0] and found[-1] == pytest.approx(ordered[-1])
    assert all(later >= earlier - 1e-6 for earlier, later in itertools.pairwise(found))


def test_there_is_no_percentile_of_nothing():
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 0.5)
