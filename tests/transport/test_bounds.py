"""The bound in bytes holds exactly, whatever many threads add, and it is what bounds memory."""

import gc
import sys
import threading
import tracemalloc
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtrace.recording import TracerProvider
from mmtrace.transport import ACCEPTED, Pipeline, Signal, SpanSink

MIB = 1 << 20
BOUND = 4_000
ADDED = st.tuples(st.sampled_from(Signal), st.integers(0, 700), st.integers(1, 3))
PLANS = st.lists(st.lists(ADDED, min_size=20, max_size=60), min_size=2, max_size=8)


@pytest.fixture(autouse=True)
def _restless():
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class Gate:
    """A destination that answers when the gate is open, and remembers how many bytes and items it was given."""

    where = "the gate"
    quiet_before_fork = False

    def __init__(self):
        self.open = threading.Event()
        self.bytes = self.items = 0

    def export(self, signal, body, count, timeout):
        self.open.wait()
        self.bytes += len(body)
        self.items += count
        return ACCEPTED

    def close(self):
        pass


@contextmanager
def gated(**options):
    """A gate that is closed, and a pipeline to it, which ends with the block."""
    gate = Gate()
    made = Pipeline(gate, **options)
    try:
        yield gate, made
    finally:
        gate.open.set()
        made.shutdown(5)


def at_once(plans, work):
    """Run `work(plan)` for each plan in a thread of its own, all starting together."""
    start = threading.Barrier(len(plans))

    def begin(plan):
        start.wait()
        work(plan)

    threads = [threading.Thread(target=begin, args=(plan,)) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@settings(max_examples=40, deadline=None)
@given(plans=PLANS, max_items=st.integers(1, 400))
def test_what_threads_add_while_nothing_leaves_stays_within_both_bounds_and_is_delivered_once(plans, max_items):
    bounds = {"max_queue_bytes": BOUND, "max_queue_items": max_items}
    with gated(**bounds, max_batch_items=16, schedule_delay=0.001) as (gate, made):
        admitted = []

        def add(plan):
            admitted.extend(
                [(size, count) for signal, size, count in plan if made.add(signal, None, b"x" * size, count)]
            )

        at_once(plans, add)
        size, items = sum(size for size, _ in admitted), sum(count for _, count in admitted)
        healths = [made.health_of(signal) for signal in Signal]

        assert size <= BOUND
        assert items <= max_items
        assert healths[0].queue_bytes == size
        assert sum(health.queue_spans for health in healths) == items
        added = sum(count for plan in plans for _, _, count in plan)
        assert sum(health.dropped.get("queue_full", 0) for health in healths) == added - items
        gate.open.set()
        made.flush(60)
        assert (gate.bytes, gate.items) == (size, items)
        assert made.health.queue_bytes == 0


@settings(max_examples=20, deadline=None)
@given(plans=PLANS)
def test_a_payload_that_fits_is_taken_as_soon_as_the_threads_are_done(plans):
    with gated(max_queue_bytes=BOUND) as (_, made):
        at_once(plans, lambda plan: [made.add(signal, None, b"x" * size, count) for signal, size, count in plan])
        left = BOUND - made.health.queue_bytes

        assert not made.add(Signal.TRACES, None, b"x" * (left + 1))
        assert made.add(Signal.TRACES, None, b"x" * left)
        assert made.health.queue_bytes == BOUND


def test_memory_is_bounded_by_the_size_of_attributes_and_not_by_the_number_of_spans():
    with gated(max_queue_bytes=MIB, schedule_delay=600) as (_, made):  # what is on its way is there twice
        provider = TracerProvider()
        provider.add_span_processor(SpanSink([made]))
        tracer = provider.get_tracer("test")

        def spans(number):
            for each in range(150):
                tracer.start_span("infer", attributes={"document": f"{number} {each} ".ljust(20_000, "x")}).end()

        grown = memory_grown_by(lambda: at_once(range(8), spans))

        assert MIB - 25_000 < made.health.queue_bytes <= MIB
        assert made.health.dropped["queue_full"] > 1_000
        assert grown < 1.5 * MIB


def memory_grown_by(run):
    """Return how many bytes Python has allocated in `run()` and still holds."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        run()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
