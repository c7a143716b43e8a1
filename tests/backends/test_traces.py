"""The demo's traces in a real Jaeger, behind a real agent and gateway: what was sent is what is read."""

import pytest

from backends.running import until
from backends.stack import MODELS, differences
from mmtrace import attributes as names

SERVICES = {"gateway", "digit-reader", "digit-checker", "digit-narrator"}


def requests(traces):
    return {trace_id: trace for trace_id, trace in traces.items() if trace.root.name == "POST /describe"}


def test_what_jaeger_holds_equals_what_was_sent_span_for_span(kept, demo):
    assert kept.keys() == demo.traces.keys()
    assert [differences(kept[trace_id], trace) for trace_id, trace in demo.traces.items()] == [[]] * len(kept)


def test_jaeger_lists_every_service(kept, whole):
    assert whole.jaeger.services() == SERVICES


def test_every_request_is_one_trace_with_spans_of_every_process(kept, demo):
    traces = requests(kept)
    assert len(traces) == demo.report["requests"]
    for trace in traces.values():
        assert set(trace.services) == SERVICES
        assert [span.name for span in trace.roots] == ["POST /describe"]


def test_every_span_of_a_service_hangs_below_the_call_of_its_caller(kept):
    callers = {"digit-reader": "gateway", "digit-checker": "gateway", "digit-narrator": "gateway"}
    for trace in requests(kept).values():
        entries = [span for span in trace.spans if span.parent_span_id and _parent(trace, span).service != span.service]
        assert {span.service: _parent(trace, span).service for span in entries} == callers


def _parent(trace, span):
    return trace.by_id[span.parent_span_id]


def test_every_batch_is_linked_to_its_requests_and_they_to_it(kept):
    batches = {span.span_id: span for trace in kept.values() for span in trace.spans if span.name.startswith("batch ")}
    served = set()
    for trace in requests(kept).values():
        (share,) = [span for span in trace.spans if span.name == "classify digit-checker"]
        (link,) = share.links
        back = {(link.trace_id, link.span_id) for link in batches[link.span_id].links}
        assert (share.trace_id, share.parent_span_id) in back
        served |= back
    assert sum(span.attributes[names.BATCH_SIZE] for span in batches.values()) == len(served) == len(requests(kept))


def test_the_slow_requests_are_explained_by_the_time_that_they_waited(kept, demo):
    slow = {int(trace_id, 16) for trace_id in demo.report["slow"]}
    assert slow
    for trace_id in slow:
        (share,) = [span for span in kept[trace_id].spans if span.name == "classify digit-checker"]
        assert share.queue_duration > max(0.3, share.duration / 2)


@pytest.mark.parametrize("chain", ["sampled", "whole"])
def test_jaegers_monitor_page_shows_the_models(demo, kept, chosen, chain, request):
    jaeger = request.getfixturevalue(chain).jaeger
    for service, operation in MODELS.items():
        until(lambda: most(jaeger.performance("calls", service), operation) > 0, 60, operation)
        until(lambda: 0 < most(jaeger.performance("latencies", service, quantile=0.95), operation) < 60_000, 60)
        assert most(jaeger.performance("errors", service), operation) == 0


def most(series, operation):
    return max(series.get(operation, [0]))
