"""Counting without locks is exact, and the bound holds whatever the threads do."""

import gc
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtrace.transport.tally import Room, Tally


@pytest.fixture
def restless():
    """Lets threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(count, work):
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_no_increment_of_any_thread_is_lost(restless):
    tally = Tally()

    def work(number):
        for _ in range(20_000):
            tally.add(number + 2)
            tally.add(-1)

    in_threads(6, work)
    assert tally.value == 20_000 * sum(number + 1 for number in range(6))


def test_each_thread_sees_a_sum_that_includes_its_own_addition(restless):
    tally, seen = Tally(), []

    def work(number):
        seen.extend([tally.add(1) for _ in range(5_000)])

    in_threads(4, work)
    assert sorted(seen) == list(range(1, 20_001))


def test_sums_beyond_32_bits_are_exact():
    tally = Tally()
    tally.add(1 << 40)
    assert tally.add(-1) == (1 << 40) - 1


def test_an_addition_in_a_finalizer_is_counted():
    tally = Tally()

    class Loop:
        def __init__(self):
            self.itself = self

        def __del__(self):
            tally.add(1)

    for _ in range(1_000):
        Loop()
        tally.add(1)
    gc.collect()
    assert tally.value == 2_000


@pytest.mark.parametrize("threads", [2, 8])
def test_what_was_admitted_never_exceeds_the_bound(restless, threads):
    room, admitted, worst = Room(max_bytes=1_000, max_items=10), Tally(), Tally()
    held = Tally()

    def work(number):
        for turn in range(5_000):
            size = 1 + (number * 7919 + turn * 104_729) % 700
            if room.take(size, 1) is not None:
                now = held.add(size)
                if now > 1_000:
                    worst.add(1)
                admitted.add(1)
                held.add(-size)
                room.give(size, 1)

    in_threads(threads, work)
    assert worst.value == 0
    assert admitted.value > 0
    assert (room.bytes, room.items) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 4)), max_size=40))
def test_an_item_is_admitted_exactly_where_it_fits_both_bounds(wanted):
    room, size, count = Room(max_bytes=1_000, max_items=10), 0, 0
    for more, items in wanted:
        fits = size + more <= 1_000 and count + items <= 10
        assert room.take(more, items) == (size + more if fits else None)
        if fits:
            size, count = size + more, count + items
        assert (room.bytes, room.items) == (size, count)
