import pytest

from mmtrace import attributes as names
from mmtrace.analysis import Node, call_graph

EPOCH = 1_800_000_000_000_000_000


def graph(*traces):
    return call_graph(traces, EPOCH, EPOCH + 10 * 10**9)


def edges(*traces):
    return {(edge.source.name, edge.target.name): edge for edge in graph(*traces).edges}


def ask(told, *, error=False):
    """One request through a gateway to a reader and its model."""
    root = told.span("POST /ask", 0, 100, kind="server")
    client = told.span("POST", 10, 90, parent=root, kind="client", error=error)
    server = told.span("POST /read", 20, 80, parent=client, kind="server", service="reader")
    told.call("digits", 30, 70, parent=server, service="reader")
    return root


def test_services_and_models_are_nodes_in_order_of_the_calls(story):
    told = story()
    ask(told)
    assert [it.node for it in graph(told.trace).nodes] == [Node("gateway"), Node("reader"), Node("reader", "digits")]


def test_an_edge_shows_calls_errors_and_what_the_caller_waited(story):
    good, bad = story(), story()
    ask(good)
    ask(bad, error=True)
    edge = edges(good.trace, bad.trace)["gateway", "reader"]
    assert (edge.calls, edge.errors, edge.rate, edge.queued) == (2, 1, 0.2, False)
    assert edge.p95 == pytest.approx(0.080)


def test_a_runtime_inside_a_model_adds_no_node(story):
    told = story()
    outer = told.call("checker", 0, 100)
    told.call("net.onnx", 10, 90, parent=outer, **{names.MODEL_FRAMEWORK: "onnxruntime"})
    assert [it.node for it in graph(told.trace).nodes] == [Node("gateway", "checker")]


def test_an_edge_through_a_message_is_queued(story):
    told = story()
    root = told.span("ask", 0, 100)
    sent = told.span("send jobs", 10, 15, parent=root, kind="producer")
    told.span("process jobs", 65, 100, parent=sent, kind="consumer", service="writer")
    assert edges(told.trace)["gateway", "writer"].queued


def test_a_call_that_came_from_another_process_but_not_as_a_request_went_through_a_queue(story):
    told = story()
    root = told.span("ask", 0, 100)
    told.call("llm", 10, 90, parent=root, service="writer")
    told.call("local", 90, 95, parent=root)
    found = edges(told.trace)
    assert (found["gateway", "llm"].queued, found["gateway", "local"].queued) == (True, False)


def test_a_consumer_that_links_to_its_messages_is_called_by_their_senders(story):
    senders = [story(), story()]
    sent = [told.span("send jobs", 10, 15, kind="producer") for told in senders]
    worker = story()
    worker.span("process jobs", 50, 90, kind="consumer", service="writer", links=sent)
    edge = edges(worker.trace, *(told.trace for told in senders))["gateway", "writer"]
    assert (edge.calls, edge.queued) == (2, True)


def batch_of(story, *, with_shares):
    batches, requests = story(), [story() for _ in range(3)]
    served = [told.span("POST /check", 0, 100, service="checker", kind="server") for told in requests]
    batch = batches.call("net", 60, 90, name="batch net", service="checker", links=served)
    for told, span in zip(requests, served, strict=True):
        if with_shares:
            told.call("net", 10, 90, parent=span, service="checker", queue=50, compute_at=60, links=[batch])
    return [batches.trace, *(told.trace for told in requests)]


@pytest.mark.parametrize("with_shares", [True, False])
def test_a_batch_is_called_once_by_each_request_that_it_served(story, with_shares):
    edge = edges(*batch_of(story, with_shares=with_shares))["checker", "net"]
    assert (edge.calls, edge.queued) == (3, True)


def test_the_shares_of_all_nodes_add_up_and_a_batch_adds_no_time(story):
    nodes = graph(*batch_of(story, with_shares=True)).nodes
    assert sum(it.share for it in nodes) == pytest.approx(1)
    assert {it.node.name: (it.calls, round(it.seconds, 3)) for it in nodes} == {"checker": (3, 0.06), "net": (3, 0.24)}


def test_a_failing_node_has_the_ratio_of_its_errors_without_cancelled_calls(story):
    told = story()
    root = told.span("ask", 0, 10)
    told.call("llm", 1, 2, parent=root, error=True)
    told.call("llm", 2, 3, parent=root, **{names.OUTCOME: "cancelled"})
    llm = next(it for it in graph(told.trace).nodes if it.node.model)
    assert (llm.calls, llm.errors, llm.error_ratio) == (2, 1, 1.0)


def test_a_link_to_a_span_that_is_not_known_draws_nothing(story):
    lost, told = story(), story()
    gone = lost.span("gone", 0, 1)
    told.span("process", 0, 10, kind="consumer", links=[gone])
    assert graph(told.trace).edges == ()


def test_while_a_model_works_whoever_waits_for_it_takes_no_time(story):
    told = story()
    root = told.span("ask", 0, 100)
    sent = told.span("send jobs", 10, 11, parent=root, kind="producer")
    taken = told.span("process jobs", 11, 90, parent=sent, kind="consumer", service="writer")
    told.call("llm", 11, 90, parent=taken, service="writer")
    shares = {it.node.name: round(it.share, 2) for it in graph(told.trace).nodes}
    assert shares == {"gateway": 0.21, "writer": 0.0, "llm": 0.79}
