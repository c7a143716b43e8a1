"""Tail sampling with two gateways: what is worth keeping is kept, whole, and nothing else."""

from backends.stack import differences, worth_keeping


def test_exactly_the_traces_worth_keeping_are_kept(demo, chosen):
    expected = {trace_id for trace_id, trace in demo.traces.items() if worth_keeping(trace)}
    assert chosen.keys() == expected
    assert len(expected) < len(demo.traces)


def test_a_trace_is_kept_whole_whichever_gateway_judged_it(demo, chosen):
    assert [differences(trace, demo.traces[trace_id]) for trace_id, trace in chosen.items()] == [[]] * len(chosen)


def test_both_gateways_took_their_share(demo, chosen, sampled):
    shares = [each.measured("otelcol_processor_tail_sampling_global_count_traces_sampled") for each in sampled.gateways]
    assert min(shares) > 0
    assert sum(shares) == len(demo.traces)


def test_every_slow_request_of_the_client_is_kept(demo, chosen):
    assert {int(trace_id, 16) for trace_id in demo.report["slow"]} <= chosen.keys()


def test_the_batch_of_a_kept_request_is_kept_too(chosen):
    linked = {link.trace_id for trace in chosen.values() for span in trace.spans for link in span.links
              if span.name == "classify digit-checker"}  # fmt: skip
    assert linked <= chosen.keys()
