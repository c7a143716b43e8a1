"""The demo as a user runs it, against a receiver that is not ours: every request is one whole trace."""

import json
import os
import statistics
import subprocess
import sys

import pytest

from mmtrace import attributes as names
from mmtrace.spans import Trace
from receiver import Receiver

SERVICES = {"gateway", "digit-reader", "digit-checker", "digit-narrator"}
EARLIER = """
import mmtrace
mmtrace.configure(service="digit-reader")
with mmtrace.model_call("digit-reader", task="ocr"): pass
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run the demo for ten seconds; return its report and the receiver with everything that it sent.

    What the user's environment says of other receivers is not the demo's, nor is what an earlier run counted.
    """
    elsewhere = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9"}
    report = tmp_path_factory.mktemp("demo") / "report.json"
    with Receiver() as receiver:
        subprocess.run([sys.executable, "-c", EARLIER], env=receiver.environment, check=True, timeout=60)
        receiver.bodies["/v1/metrics"].clear()
        command = ["demo", "--seconds", "10", "--rate", "8", "--otlp", receiver.url, "--report", str(report)]
        done = subprocess.run(
            [sys.executable, "-m", "mmtrace", *command],
            env={**os.environ, **elsewhere},
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(report.read_text()), receiver


@pytest.fixture(scope="module")
def traces(run):
    """The traces of requests, by trace id."""
    found = {}
    for span in run[1].spans():
        found.setdefault(span.trace_id, []).append(span)
    whole = {trace_id: Trace.of(spans) for trace_id, spans in found.items()}
    return {trace_id: trace for trace_id, trace in whole.items() if trace.root.name == "POST /describe"}


def test_every_request_was_answered(run):
    report, _ = run
    assert report["failed"] == 0
    assert report["requests"] > 0
    assert set(report["models"].values()) == {report["requests"]}


def test_every_request_is_one_trace_with_spans_of_every_process(run, traces):
    assert len(traces) == run[0]["requests"]
    for trace in traces.values():
        assert set(trace.services) == SERVICES
        assert [span.name for span in trace.roots] == ["POST /describe"]


def test_every_request_has_one_server_span_in_each_service_that_serves(traces):
    for trace in traces.values():
        servers = [span.service for span in trace.spans if span.kind.name == "SERVER"]
        assert sorted(servers) == ["digit-checker", "digit-reader", "gateway"]


def test_every_request_waited_in_a_queue_and_is_linked_to_its_batch(run, traces):
    batches = {span.span_id: span for span in run[1].spans() if span.name == "batch digit-checker"}
    for trace in traces.values():
        (share,) = [span for span in trace.spans if span.name == "classify digit-checker"]
        assert share.queue_duration is not None
        (link,) = share.links
        assert (share.trace_id, share.parent_span_id) in {
            (back.trace_id, back.span_id) for back in batches[link.span_id].links
        }


def test_a_slow_request_is_explained_by_its_time_in_the_queue(run, traces):
    slow = {int(trace_id, 16) for trace_id in run[0]["slow"]}
    assert slow
    waits = {}
    for trace_id, trace in traces.items():
        (share,) = [span for span in trace.spans if span.name == "classify digit-checker"]
        waits[trace_id] = share.queue_duration
    usual = statistics.median(wait for trace_id, wait in waits.items() if trace_id not in slow)
    assert all(waits[trace_id] > 0.3 for trace_id in slow)
    assert usual < 0.3  # a busy machine makes some other request wait as well


def test_the_narrators_stream_is_measured(traces):
    for trace in traces.values():
        (stream,) = [span for span in trace.spans if span.name == "generate digit-narrator"]
        assert stream.attributes[names.STREAM_END] == "exhausted"
        assert stream.attributes[names.TIME_TO_FIRST_OUTPUT] > 0


def test_the_metrics_count_what_the_client_counted(run):
    report, receiver = run
    assert report["models"] == receiver.histogram(names.CALL_DURATION.name)
