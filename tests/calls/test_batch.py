import pickle

import pytest
from opentelemetry.trace import StatusCode

import mmtrace
from mmtrace import attributes as names
from mmtrace.calls import telemetry
from mmtrace.recording.sampling import sampler_from
from mmtrace.testing import record_spans


def request(name, *, clock=None, wait=0.0):
    """Run a request that enqueues itself and return its ticket."""
    with mmtrace.span(name):
        ticket = mmtrace.enqueue()
    if clock:
        clock.advance(wait)
    return ticket


def test_a_batch_is_a_root_span_that_is_linked_to_every_request(recorded):
    tickets = [request("one"), request("two")]
    with mmtrace.span("worker"), mmtrace.batch("embedder", tickets, task="embed"):
        pass
    batch = recorded.named("batch embedder")
    one, two = recorded.named("one"), recorded.named("two")
    assert batch.parent_span_id is None
    assert [(link.trace_id, link.span_id) for link in batch.links] == [
        (one.trace_id, one.span_id),
        (two.trace_id, two.span_id),
    ]
    assert batch.attributes[names.BATCH_SIZE] == 2
    recorded.take()


def test_each_request_gets_a_span_with_its_own_time_in_the_queue(recorded):
    first = request("first", clock=recorded.clock, wait=2.0)
    second = request("second", clock=recorded.clock, wait=0.5)
    with mmtrace.batch("embedder", [first, second], task="embed"):
        recorded.clock.advance(1.0)
    spans = {span.trace_id: span for span in recorded.take() if span.name == "embed embedder"}
    ours = [spans[ticket.span_context.trace_id] for ticket in (first, second)]
    assert [span.queue_duration for span in ours] == pytest.approx([2.5, 0.5], abs=0.05)
    assert [span.duration for span in ours] == pytest.approx([3.5, 1.5], abs=0.05)
    for span, ticket in zip(ours, (first, second), strict=True):
        assert span.parent_span_id == ticket.span_context.span_id
        assert [event.name for event in span.events] == [names.COMPUTE_START]
        assert (span.events[0].time - span.start_time) / 1e9 == pytest.approx(span.queue_duration)


def test_a_requests_share_is_linked_to_the_batch(recorded):
    with mmtrace.batch("embedder", [request("one")], task="embed"):
        pass
    batch, share = recorded.named("batch embedder"), recorded.named("embed embedder")
    assert [link.span_id for link in share.links] == [batch.span_id]
    recorded.take()


def test_runtime_calls_inside_a_batch_are_its_children_without_call_metrics(recorded):
    with mmtrace.batch("embedder", [request("one")]), mmtrace.model_call("graph", framework="onnxruntime"):
        pass
    batch, inner = recorded.named("batch embedder"), recorded.named("infer graph")
    assert inner.parent_span_id == batch.span_id
    counted = {reading.line.attributes.get("model") for reading in telemetry.metrics.read()}
    assert "graph" not in counted
    recorded.take()


def test_a_batch_counts_each_request_once_and_its_size_once(recorded):
    with mmtrace.batch("counted-batch", [request(str(number)) for number in range(3)]):
        pass
    readings = {
        reading.line.metric.name: sum(reading.counts)
        for reading in telemetry.metrics.read()
        if reading.line.attributes.get("model") == "counted-batch" and reading.counts
    }
    assert readings[names.CALL_DURATION.name] == 3
    assert readings[names.CALL_QUEUE_DURATION.name] == 3
    assert readings[names.MODEL_BATCH_SIZE.name] == 1
    recorded.take()


def test_a_batch_of_carriers_knows_their_time_of_arrival(recorded):
    with mmtrace.span("one"):
        carrier = mmtrace.inject({})
    recorded.clock.advance(3.0)
    with mmtrace.batch("embedder", [carrier]):
        pass
    assert recorded.named("infer embedder").queue_duration == pytest.approx(3.0, abs=0.05)
    recorded.take()


def test_a_wait_below_zero_is_zero_and_marked(recorded):
    with mmtrace.span("one"):
        carrier = mmtrace.inject({})
    carrier["mmtrace-arrival"] = str(int(carrier["mmtrace-arrival"]) + 60_000_000_000)
    with mmtrace.batch("embedder", [carrier]):
        pass
    share = recorded.named("infer embedder")
    assert share.queue_duration == 0
    assert share.attributes[names.QUEUE_SKEWED] is True
    recorded.take()


def test_a_ticket_pickles(recorded):
    ticket = pickle.loads(pickle.dumps(request("one")))
    with mmtrace.batch("embedder", [ticket]):
        pass
    one = recorded.named("one")
    assert recorded.named("infer embedder").trace_id == one.trace_id
    recorded.take()


def test_a_batch_that_fails_fails_every_request(recorded):
    with pytest.raises(MemoryError), mmtrace.batch("embedder", [request("one"), request("two")]):
        raise MemoryError
    shares = [span for span in recorded.take() if span.name == "infer embedder"]
    assert [span.status for span in shares] == [StatusCode.ERROR, StatusCode.ERROR]


def test_one_request_may_fail_alone(recorded):
    good, bad = request("good"), request("bad")
    with mmtrace.batch("embedder", [good, bad]) as batch:
        batch.fail(bad, ValueError("empty page"))
    shares = {span.trace_id: span for span in recorded.take() if span.name == "infer embedder"}
    assert shares[good.span_context.trace_id].attributes[names.OUTCOME] == "ok"
    assert shares[bad.span_context.trace_id].attributes[names.ERROR_TYPE] == "ValueError"


@pytest.mark.parametrize(("sampled", "expected"), [([True, False], 1), ([False, False], 0)])
def test_a_batch_is_sampled_if_any_of_its_requests_is(sampled, expected):
    carriers = [
        {"traceparent": f"00-{number:032x}-{number:016x}-0{int(flag)}"} for number, flag in enumerate(sampled, start=1)
    ]
    with record_spans(sampler=sampler_from("parentbased_always_on")) as spans:
        with mmtrace.batch("embedder", carriers):
            pass
        names_of_spans = [span.name for span in spans.take()]
    assert names_of_spans.count("batch embedder") == expected
    assert names_of_spans.count("infer embedder") == sum(sampled)


def test_an_empty_batch_is_a_batch(recorded):
    with mmtrace.batch("embedder", []):
        pass
    assert recorded.one().attributes[names.BATCH_SIZE] == 0
