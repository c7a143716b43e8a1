"""What leaves together: bounds in items and bytes, frames around payloads, order kept."""

from mmtrace.transport import Outcome, Signal


class Brackets:
    """A frame that shows what it wraps."""

    def __init__(self, name):
        self.name = name

    def wrap(self, payloads):
        return self.name + b"(" + b",".join(payloads) + b")"


def test_payloads_of_one_frame_are_wrapped_together_in_order(pipeline, shelf):
    made, first, second = pipeline(), Brackets(b"A"), Brackets(b"B")
    for frame, payload in [(first, b"1"), (second, b"2"), (first, b"3"), (None, b"raw"), (None, b"|raw")]:
        made.add(Signal.TRACES, frame, payload)
    made.flush(60)
    assert shelf.kept == [(Signal.TRACES, b"A(1,3)B(2)raw|raw", 5)]


def test_a_batch_holds_at_most_so_many_items(pipeline, shelf):
    made = pipeline(max_batch_items=3)
    for _ in range(7):
        made.add(Signal.TRACES, None, b"x")
    made.flush(60)
    assert shelf.counts == [3, 3, 1]


def test_items_are_counted_rather_than_payloads(pipeline, shelf):
    made = pipeline(max_batch_items=5)
    for count in (2, 2, 2, 4):
        made.add(Signal.LOGS, None, b"x", count)
    made.flush(60)
    assert shelf.counts == [4, 2, 4]


def test_a_batch_holds_at_most_so_many_bytes(pipeline, shelf):
    made = pipeline(max_batch_bytes=10)
    for size in (4, 4, 4, 1, 5):
        made.add(Signal.TRACES, None, b"x" * size)
    made.flush(60)
    assert [len(body) for body in shelf.bodies] == [8, 10]


def test_a_payload_beyond_the_bounds_travels_alone(pipeline, shelf):
    made = pipeline(max_batch_bytes=10, max_batch_items=5)
    made.add(Signal.TRACES, None, b"x")
    made.add(Signal.TRACES, None, b"y" * 50)
    made.add(Signal.METRICS, None, b"z", count=2000)
    assert made.flush(60).exported == 2
    assert sorted(shelf.bodies) == [b"x", b"y" * 50, b"z"]


def test_signals_never_share_a_request(pipeline, shelf):
    made = pipeline()
    for signal in Signal:
        made.add(signal, None, signal.label.encode())
    made.flush(60)
    assert sorted(shelf.kept) == [(signal, signal.label.encode(), 1) for signal in Signal]


def test_a_request_that_is_too_large_is_halved_until_it_fits(pipeline, shelf, said):
    shelf.answers.extend([Outcome("too_large", message="413"), Outcome("too_large", message="413")])
    made = pipeline()
    for letter in (b"a", b"b", b"c", b"d", b"e"):
        made.add(Signal.TRACES, None, letter)
    assert made.flush(60).exported == 5
    assert shelf.bodies == [b"a", b"b", b"cde"]
    assert said() == []


def test_one_item_that_is_too_large_is_dropped_and_the_rest_delivered(pipeline, shelf, said):
    shelf.answers.extend([Outcome("too_large", message="answered 413"), Outcome("too_large", message="answered 413")])
    made = pipeline()
    made.add(Signal.TRACES, None, b"huge")
    made.add(Signal.TRACES, None, b"small")
    result = made.flush(60)
    assert (result.exported, result.dropped) == (1, 1)
    assert made.health.dropped == {"too_large": 1}
    assert shelf.bodies == [b"small"]
    assert len(said()) == 1
    assert "413" in said()[0]
