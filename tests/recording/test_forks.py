"""Parts of a process go through a fork in a promised order, each unharmed by the others, as long as they live."""

import pytest

from forked import in_child
from mmtrace.recording.forks import at_fork


class Part:
    """Notes what it is told."""

    def __init__(self, name, told):
        self._name = name
        self._told = told

    def before(self):
        self._told.append(f"{self._name} before")

    def in_parent(self):
        self._told.append(f"{self._name} in parent")

    def in_child(self):
        self._told.append(f"{self._name} in child")

    def fail(self):
        self.before()
        raise RuntimeError(self._name)


@pytest.fixture
def told():
    return []


@pytest.fixture
def part(told):
    """Make parts that live as long as the test."""
    kept = []

    def make(name):
        kept.append(Part(name, told))
        return kept[-1]

    return make


@pytest.fixture
def pair(part):
    """Two parts that hear of everything, the first one first."""
    for made in (part("first"), part("second")):
        at_fork(made, before=Part.before, in_parent=Part.in_parent, in_child=Part.in_child)


@pytest.mark.usefixtures("pair")
def test_who_came_last_comes_to_rest_first_and_who_came_first_goes_on_first(told):
    def child():
        assert told == ["second before", "first before", "first in child", "second in child"]

    in_child(child)
    assert told == ["second before", "first before", "first in parent", "second in parent"]


@pytest.mark.usefixtures("pair")
def test_children_of_children_hear_of_their_own_forks(told):
    def child():
        told.clear()
        in_child(lambda: told.index("second in child"))
        assert told == ["second before", "first before", "first in parent", "second in parent"]

    in_child(child)


def test_many_parts_keep_their_order_while_others_go(told):
    parts = [Part(number, told) for number in range(100)]
    for made in parts:
        at_fork(made, in_parent=Part.in_parent)
    del parts[::3], made
    in_child(lambda: None)
    assert told == [f"{number} in parent" for number in range(100) if number % 3]


def test_who_asks_for_one_moment_hears_of_no_other(part, told):
    at_fork(part("one"), in_child=Part.in_child)

    def child():
        assert told == ["one in child"]

    in_child(child)
    assert told == []


def test_who_fails_keeps_nobody_else_from_hearing(part, told):
    at_fork(part("last"), before=Part.before)
    at_fork(part("failing"), before=Part.fail)
    in_child(lambda: None)
    assert told == ["failing before", "last before"]


def test_what_a_fork_calls_keeps_nobody_alive(told):
    gone = Part("gone", told)
    at_fork(gone, before=Part.before, in_parent=Part.in_parent, in_child=Part.in_child)
    del gone
    in_child(lambda: None)
    assert told == []


def test_a_part_that_another_lets_go_of_is_told_all_the_same(told):
    class Owner:
        owned = None

        def let_go(self):
            self.owned = None

    owner = Owner()
    at_fork(owner, in_child=Owner.let_go)
    owner.owned = Part("owned", told)
    at_fork(owner.owned, in_child=Part.in_child)

    def child():
        assert told == ["owned in child"]

    in_child(child)
