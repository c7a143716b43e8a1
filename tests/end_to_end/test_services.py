"""Services that never import mmtrace, under `mmtrace run`, against a receiver that is not ours."""

import json
from collections import Counter
from textwrap import indent

import pytest

TIMES = 5
"""How often each route is asked."""

CLASSIFY = """\
gateway CLIENT POST
  classifier SERVER POST /classify
    classifier INTERNAL classify LogisticRegression
"""
EMBED = """\
gateway CLIENT models.Embedder/Embed
  embedder SERVER models.Embedder/Embed
    embedder INTERNAL infer negative
"""
STREAM = """\
gateway CLIENT models.Embedder/Stream
  embedder SERVER models.Embedder/Stream
    embedder INTERNAL infer negative
    embedder INTERNAL infer negative
"""
SCALE = "gateway INTERNAL infer negative\n"
QUEUE = """\
gateway PRODUCER xadd work
  worker CONSUMER process work
    worker INTERNAL infer negative
"""

CALLS = {
    "blocking": CLASSIFY,
    "threads": CLASSIFY + CLASSIFY + EMBED,
    "awaiting": CLASSIFY + EMBED,
    "executors": CLASSIFY + CLASSIFY + EMBED + SCALE,
    "streaming": CLASSIFY + CLASSIFY + STREAM,
    "queued": QUEUE,
}
"""What each route of the gateway calls, siblings by name."""

ANSWERS = {
    "blocking": "[1]",
    "threads": "[[1],[0],[-2.0]]",
    "awaiting": "[1,-2.0]",
    "executors": "[[1],[-2.0],[1],[-2.0]]",
    "streaming": "[0] [0] ",
    "queued": "[-2.0]",
}


@pytest.fixture(scope="module")
def paths():
    return [f"{route}/{value}" for value in range(TIMES) for route in CALLS]


@pytest.fixture(scope="module")
def traces(system):
    return system.traces()


def outline(trace):
    """Return the trace as lines of text, siblings by name."""

    def lines(spans, depth):
        told = []
        for span in spans:
            line = f"{'  ' * depth}{span.service} {span.kind.name} {span.name}\n"
            told.append(line + lines(trace.children(span), depth + 1))
        return "".join(sorted(told))

    return lines(trace.roots, 0)


def test_the_services_answer_as_ever(system):
    assert {route: system.answers[f"{route}/2"] for route in CALLS} == ANSWERS


def test_every_request_is_one_whole_trace_in_all_its_processes(traces):
    whole = {f"gateway SERVER GET /{route}/{{value}}\n" + indent(calls, "  "): TIMES for route, calls in CALLS.items()}
    assert Counter(map(outline, traces)) == whole


def test_nothing_that_went_well_is_an_error(traces):
    assert [span.name for trace in traces for span in trace.spans if span.is_error] == []


def test_a_childs_time_lies_within_its_parents(traces):
    for trace in traces:
        for _, span in trace.walk():
            for child in trace.children(span):
                assert span.start_time <= child.start_time
                assert child.end_time <= span.end_time or child.service != span.service


def test_work_in_a_pool_of_processes_is_done_by_another_instance_of_the_same_service(traces):
    for trace in traces:
        pids = {span.resource.attributes["process.pid"] for span in trace.spans if span.service == "gateway"}
        assert len(pids) == (2 if "executors" in trace.root.name else 1)


def test_each_service_is_silent_and_ends_by_the_signal_that_stopped_it(system):
    logs = {name: text for name, text in system.logs().items() if name not in {"redis", "classifier"}}
    assert set(logs.values()) == {""}, json.dumps(logs, indent=1)
    assert "mmtrace" not in system.logs()["classifier"]
    assert {process.returncode for name, process in system.processes.items() if name != "redis"} == {-15}
