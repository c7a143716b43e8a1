import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.trace import SpanKind

from mmtrace import attributes as names
from mmtrace.analysis import Phase, summarize, time_spent
from mmtrace.spans import Resource, SpanData, Trace


def test_a_model_call_is_parted_into_waiting_computing_and_streaming(story, shares):
    told = story()
    told.call("llm", 0, 100, compute_at=30, first=60)
    expected = {("llm", "waiting"): 30, ("llm", "computing"): 30, ("llm", "streaming"): 40}
    assert shares(time_spent(told.trace)) == expected


def test_queue_time_and_time_to_first_output_count_without_their_events_too(story, shares):
    told = story()
    told.call("llm", 0, 100, queue=30, **{names.TIME_TO_FIRST_OUTPUT: 0.06})
    expected = {("llm", "waiting"): 30, ("llm", "computing"): 30, ("llm", "streaming"): 40}
    assert shares(time_spent(told.trace)) == expected


def test_a_client_span_less_its_server_span_is_network(story, shares):
    told = story()
    root = told.span("POST /read", 0, 100, kind="server")
    client = told.span("POST", 10, 90, parent=root, kind="client")
    server = told.span("POST /digits", 20, 85, parent=client, kind="server", service="reader")
    told.call("digits", 25, 80, parent=server, service="reader")
    assert shares(time_spent(told.trace)) == {
        ("digits", "computing"): 55,
        (None, "network"): 15,
        (None, "other"): 30,
    }


def test_a_client_span_whose_server_is_not_in_the_trace_is_other_time(story, shares):
    told = story()
    root = told.span("POST /read", 0, 100, kind="server")
    told.span("GET", 10, 90, parent=root, kind="client")
    assert shares(time_spent(told.trace)) == {(None, "other"): 100}


def test_time_in_an_inner_model_belongs_to_the_inner_one(story, shares):
    told = story()
    agent = told.call("agent", 0, 100)
    told.call("search", 20, 60, parent=agent)
    assert shares(time_spent(told.trace)) == {("agent", "computing"): 60, ("search", "computing"): 40}


def test_a_model_that_asks_a_server_does_not_compute_meanwhile(story, shares):
    told = story()
    agent = told.call("agent", 0, 100)
    client = told.span("POST", 10, 60, parent=agent, kind="client")
    server = told.span("POST /search", 20, 50, parent=client, kind="server", service="search")
    told.call("search", 30, 40, parent=server, service="search")
    assert shares(time_spent(told.trace)) == {
        ("agent", "computing"): 50,
        ("search", "computing"): 10,
        (None, "network"): 20,
        (None, "other"): 20,
    }


def test_a_runtime_inside_a_model_call_is_a_part_of_it(story, shares):
    told = story()
    outer = told.call("checker", 0, 100)
    told.call("checker.onnx", 10, 90, parent=outer, **{names.MODEL_FRAMEWORK: "onnxruntime"})
    assert shares(time_spent(told.trace)) == {("checker", "computing"): 100}


def test_the_same_runtime_in_another_process_is_a_call_of_its_own(story, shares):
    told = story()
    outer = told.call("remote", 0, 100, kind="client")
    server = told.span("Infer", 10, 90, parent=outer, kind="server", service="triton")
    told.call("resnet", 10, 90, parent=server, service="triton", **{names.MODEL_FRAMEWORK: "triton"})
    assert shares(time_spent(told.trace)) == {("resnet", "computing"): 80, (None, "network"): 20}


def test_working_comes_before_waiting_where_both_happen_at_once(story, shares):
    told = story()
    root = told.span("fan out", 0, 100)
    told.call("fast", 0, 40, parent=root)
    told.call("slow", 0, 100, parent=root, compute_at=80)
    assert shares(time_spent(told.trace)) == {
        ("fast", "computing"): 40,
        ("slow", "waiting"): 40,
        ("slow", "computing"): 20,
    }


def test_models_that_work_side_by_side_share_the_time(story, shares):
    told = story()
    root = told.span("fan out", 0, 100)
    told.call("left", 0, 100, parent=root)
    told.call("right", 0, 50, parent=root)
    assert shares(time_spent(told.trace)) == {("left", "computing"): 75, ("right", "computing"): 25}


def test_calls_of_one_model_side_by_side_count_once(story, shares):
    told = story()
    root = told.span("fan out", 0, 100)
    for start in range(0, 50, 10):
        told.call("embedder", start, start + 50, parent=root)
    assert shares(time_spent(told.trace)) == {("embedder", "computing"): 90, (None, "other"): 10}


def test_a_message_waits_for_the_model_behind_its_queue(story, shares):
    told = story()
    root = told.span("POST /ask", 0, 100, kind="server")
    sent = told.span("send jobs", 10, 15, parent=root, kind="producer")
    taken = told.span("process jobs", 65, 100, parent=sent, kind="consumer", service="writer")
    told.call("writer", 70, 95, parent=taken, service="writer")
    assert shares(time_spent(told.trace)) == {
        ("writer", "waiting"): 50,
        ("writer", "computing"): 25,
        (None, "other"): 25,
    }


def test_a_share_of_a_batch_tells_waiting_from_computing_in_the_request_itself(story, shares):
    batch_story, request = story(), story()
    root = request.span("POST /check", 0, 100, kind="server", service="checker")
    batch = batch_story.call("checker", 80, 95, name="batch checker", service="checker", links=[root])
    share = {"queue": 78, "compute_at": 80, "links": [batch], "service": "checker"}
    request.call("checker", 2, 95, parent=root, **share)
    spent = time_spent(request.trace)
    assert shares(spent) == {("checker", "waiting"): 78, ("checker", "computing"): 15, (None, "other"): 7}
    assert shares(time_spent(batch_story.trace)) == {("checker", "computing"): 15}


def test_the_slowest_model_comes_with_its_phases_the_longest_first(story):
    told = story()
    root = told.span("ask", 0, 100)
    told.call("reader", 0, 20, parent=root)
    told.call("checker", 20, 95, parent=root, compute_at=85)
    slowest = time_spent(told.trace).slowest
    assert [(share.model, share.phase, round(share.fraction, 2)) for share in slowest] == [
        ("checker", Phase.WAITING, 0.65),
        ("checker", Phase.COMPUTING, 0.10),
    ]


def test_every_share_names_the_spans_that_it_was_measured_on(story):
    told = story()
    root = told.span("ask", 0, 100)
    first = told.call("reader", 0, 20, parent=root)
    second = told.call("reader", 50, 70, parent=root)
    assert time_spent(told.trace).shares[0].spans == (first.span_id, second.span_id)


def test_a_trace_without_models_has_no_slowest_model(story, shares):
    told = story()
    told.span("ping", 0, 1)
    spent = time_spent(told.trace)
    assert spent.slowest == ()
    assert shares(spent) == {(None, "other"): 1}


def test_a_trace_of_no_length_has_no_shares(story):
    told = story()
    told.call("instant", 5, 5)
    assert time_spent(told.trace).shares == ()


def test_a_summary_adds_up_to_the_duration(story):
    told = story()
    root = told.span("ask", 0, 100)
    told.call("checker", 20, 95, parent=root, compute_at=85, first=90)
    summary = summarize(told.trace)
    assert (summary.queue, summary.compute, summary.rest) == pytest.approx((0.065, 0.010, 0.025))


@st.composite
def traces(draw):
    """Any trace at all: overlaps, children that outlive their parents, skewed clocks, moments outside of spans."""
    count = draw(st.integers(1, 12))
    moment = st.integers(0, 1000)
    spans = []
    for number in range(1, count + 1):
        attributes = {}
        if draw(st.booleans()):
            attributes[names.MODEL_NAME] = draw(st.sampled_from(["a", "b", "c"]))
        if draw(st.booleans()):
            attributes[names.QUEUE_DURATION] = draw(st.floats(allow_nan=False, min_value=-1e-6, max_value=2e-6))
        if draw(st.booleans()):
            attributes[names.TIME_TO_FIRST_OUTPUT] = draw(st.floats(0, 2e-6))
        spans.append(
            SpanData(
                trace_id=1,
                span_id=number,
                name="span",
                start_time=draw(moment),
                end_time=draw(moment),
                parent_span_id=draw(st.integers(1, count) | st.none()),
                kind=draw(st.sampled_from(SpanKind)),
                attributes=attributes,
                resource=Resource({names.SERVICE_NAME: draw(st.sampled_from(["s", "t"]))}),
            )
        )
    return Trace.of(spans)


@settings(max_examples=300, deadline=None)
@given(traces())
def test_the_shares_of_any_trace_add_up_to_all_of_its_time(trace):
    spent = time_spent(trace)
    assert all(share.seconds > 0 for share in spent.shares)
    assert sum(share.seconds for share in spent.shares) == pytest.approx(spent.duration)
    if spent.shares:
        assert sum(share.fraction for share in spent.shares) == pytest.approx(1)
