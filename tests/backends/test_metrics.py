"""The demo's metrics in a real Prometheus, pushed and scraped: counted right, with exemplars that lead somewhere."""

import math

import pytest

from backends.running import until
from backends.stack import MODELS
from mmtrace import attributes as names

DURATION = "mmtrace_model_call_duration_seconds"
CHAINS = pytest.mark.parametrize("chain", ["sampled", "whole"], ids=["by OTLP", "by scraping"])


@pytest.fixture
def prometheus(demo, chain, request):
    return request.getfixturevalue(chain).prometheus


@CHAINS
def test_calls_are_counted_as_the_client_counted_them(demo, prometheus):
    counted = demo.report["models"]
    until(
        lambda: prometheus.by_model(f"sum by (model) ({DURATION}_count)") == counted, 60, f"calls by model: {counted}"
    )


@CHAINS
def test_every_series_says_its_job_and_instance(demo, prometheus):
    jobs = {"digit-reader", "digit-checker", "digit-narrator"}
    until(lambda: {labels["job"] for labels, _ in prometheus.ask(f"{DURATION}_count")} == jobs, 60)
    found = prometheus.ask(f"{DURATION}_count")
    assert all(labels["instance"] for labels, _ in found)
    assert not any("exported_job" in labels for labels, _ in found)


@CHAINS
def test_every_bucket_holds_the_calls_whose_spans_are_that_short(demo, prometheus):
    spans = [span for trace in demo.traces.values() for span in trace.spans]
    for model, name in MODELS.items():
        durations = [span.duration for span in spans if span.name == name]
        bounds = (*names.TIME_BUCKETS, math.inf)
        expected = {bound: sum(duration <= bound for duration in durations) for bound in bounds}
        until(lambda: buckets(prometheus, model) == expected, 60, model)


def buckets(prometheus, model):
    found = prometheus.ask(f'sum by (le) ({DURATION}_bucket{{model="{model}"}})')
    return {float(labels["le"]): count for labels, count in found}


@CHAINS
def test_spans_are_counted_before_any_is_left_out(demo, prometheus):
    calls = 'sum(traces_span_metrics_calls_total{span_name="classify digit-checker"})'
    until(lambda: [value for _, value in prometheus.ask(calls)] == [demo.report["requests"]], 60)


@CHAINS
def test_the_service_graph_knows_who_calls_whom(demo, prometheus):
    calls = {("gateway", "digit-reader"), ("gateway", "digit-checker")}
    until(lambda: edges(prometheus) >= calls, 60, "both calls are edges of the graph")


def edges(prometheus):
    found = prometheus.ask("sum by (client, server) (traces_service_graph_request_total)")
    return {(labels["client"], labels["server"]) for labels, _ in found}


@CHAINS
def test_an_exemplar_leads_to_a_trace_that_jaeger_holds(demo, kept, chosen, prometheus, chain, request):
    jaeger = request.getfixturevalue(chain).jaeger
    exemplars = until(lambda: of_all_models(prometheus, demo.report["models"]), 60, "every model has an exemplar")
    for series, exemplar in exemplars:
        trace_id, span_id = int(exemplar["labels"]["trace_id"], 16), int(exemplar["labels"]["span_id"], 16)
        assert jaeger.has(trace_id), series
        assert span_id in demo.traces[trace_id].by_id


def of_all_models(prometheus, models):
    """Return all exemplars there are, once every model has one."""
    found = prometheus.exemplars('{__name__=~".+"}')
    return {series["model"] for series, _ in found if "model" in series} == set(models) and found


@CHAINS
def test_no_span_was_dropped_on_the_way(demo, prometheus):
    until(lambda: sum(value for _, value in prometheus.ask("mmtrace_sdk_spans_exported_total")) > 0, 60)
    assert sum(value for _, value in prometheus.ask("mmtrace_sdk_spans_dropped_total")) == 0
