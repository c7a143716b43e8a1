"""The layout of the map, without a browser."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from mmtrace.server.pages.layers import layered

graphs = st.integers(1, 9).flatmap(
    lambda count: st.tuples(st.just(count), st.lists(st.tuples(*[st.integers(0, count - 1)] * 2), max_size=20))
)


def column_of(layout):
    return {place: at for at, column in enumerate(layout.columns) for place in column}


def test_callers_are_left_of_the_called():
    column = column_of(layered(4, [(0, 1), (1, 2), (0, 3), (3, 2)]))
    assert [column[node] for node in range(4)] == [0, 1, 2, 1]


def test_a_long_edge_passes_a_place_in_every_column_between():
    layout = layered(3, [(0, 1), (1, 2), (0, 2)])
    column = column_of(layout)
    assert [column[place] for place in layout.ways[0, 2]] == [0, 1, 2]


def test_a_cycle_is_drawn_with_one_edge_that_leads_back():
    column = column_of(layered(3, [(0, 1), (1, 2), (2, 0)]))
    assert [column[node] for node in range(3)] == [0, 1, 2]


def test_edges_that_could_cross_do_not():
    layout = layered(4, [(0, 3), (1, 2)])
    assert [list(column) for column in layout.columns] in ([[0, 1], [3, 2]], [[1, 0], [2, 3]])


def test_a_model_is_level_with_the_one_service_that_calls_it():
    layout = layered(7, [(0, 1), (0, 2), (0, 3), (1, 4), (3, 5)])
    assert layout.heights[1] == layout.heights[4]
    assert layout.heights[3] == layout.heights[5]


@given(graphs)
def test_every_node_has_one_place_and_places_of_a_column_keep_apart(graph):
    count, edges = graph
    layout = layered(count, edges)
    places = [place for column in layout.columns for place in column]
    assert sorted(places) == list(range(len(places))) and len(places) >= count
    for column in layout.columns:
        for above, below in itertools.pairwise(column):
            assert layout.heights[below] - layout.heights[above] > 0.999
    assert min(layout.heights.values()) == 0
    for (source, target), way in layout.ways.items():
        assert (way[0], way[-1]) == (source, target)
