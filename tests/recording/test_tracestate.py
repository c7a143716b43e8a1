import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import TraceState

from mmtrace.recording import guard
from mmtrace.recording.tracestate import W3CTraceState


def test_is_a_tracestate_of_the_api():
    state = W3CTraceState.from_header(["a=1,b=2"])
    assert isinstance(state, TraceState)
    assert (dict(state), len(state), state["a"], state.to_header()) == ({"a": "1", "b": "2"}, 2, "1", "a=1,b=2")
    assert list(state.keys()) == ["a", "b"] and list(state.values()) == ["1", "2"] and "b" in state


def test_a_new_member_goes_in_front_and_the_rest_stays():
    state = W3CTraceState.from_header(["a=1"])
    assert state.add("0level@two", "x").to_header() == "0level@two=x,a=1"
    assert state.update("b", "2").update("a", "3").to_header() == "a=3,b=2"
    assert state.add("a", "9") is state
    assert state.delete("a").to_header() == ""
    assert state.to_header() == "a=1"
    assert type(state.add("b", "1").delete("a").update("c", "2")) is W3CTraceState


@pytest.mark.parametrize(("key", "value"), [("A", "1"), ("a", ""), ("a", "x,y"), ("a", "x="), (1, "1"), ("a", "é")])
def test_a_member_that_is_not_allowed_changes_nothing(key, value):
    state = W3CTraceState.from_header(["z=1"])
    assert state.add(key, value) is state
    assert state.update(key, value) is state
    assert guard.faults["tracestate"] == 2


def test_the_thirty_third_member_changes_nothing_but_a_known_one_may_change():
    state = W3CTraceState([(f"k{number}", "1") for number in range(32)])
    assert state.add("more", "1") is state
    assert state.update("k5", "2")["k5"] == "2"


def test_what_was_left_out_is_counted():
    W3CTraceState.from_header(["FOO=1"])
    assert guard.faults["tracestate"] == 1


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=30), max_size=5))
def test_any_header_makes_a_tracestate_that_reads_back(headers):
    state = W3CTraceState.from_header(headers)
    assert W3CTraceState.from_header([state.to_header()]) == state
    assert len(state) <= 32


def test_can_be_copied_and_pickled():
    state = W3CTraceState.from_header(["a=1"])
    assert dict(copy.deepcopy(state)) == dict(pickle.loads(pickle.dumps(state))) == {"a": "1"}
