"""Configuration against a receiver that counts, in processes of their own."""

import signal
import subprocess
import sys
import textwrap

import pytest

import mmtrace
from mmtrace._configure import arguments
from mmtrace.errors import ConfigurationError
from ports import free_port


def run(program, receiver, *, expect=0, **environment):
    """Run `program` in a new interpreter that sends to `receiver`; return its standard output."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        env={**receiver.environment, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == expect, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_a_program_that_just_ends_has_sent_everything(receiver):
    run(
        """
        import mmtrace
        mmtrace.configure(service="brief")
        with mmtrace.model_call("m"):
            pass
        """,
        receiver,
    )
    (span,) = receiver.spans()
    assert span.name == "infer m"
    assert span.service == "brief"


def test_flush_says_what_was_exported(receiver):
    out = run(
        """
        import mmtrace
        mmtrace.configure()
        for _ in range(3):
            with mmtrace.span("s"):
                pass
        print(mmtrace.flush(timeout=5).exported)
        """,
        receiver,
    )
    assert out == "3\n"
    assert len(receiver.spans()) == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "unknown propagator 'tracecontxt': did you mean 'tracecontext'?"),
        (
            "propagators=['baggage']",
            "the OpenTelemetry API refuses OTEL_PROPAGATORS: Propagator tracecontxt not found.",
        ),
    ],
)
def test_an_unknown_propagator_is_named_by_configure_and_hurts_no_verb(receiver, given, said):
    out = run(
        f"""
        import mmtrace
        @mmtrace.model("m")
        def work():
            return 1
        assert work() == 1
        try:
            mmtrace.configure({given})
        except mmtrace.errors.ConfigurationError as error:
            print(error)
        assert work() == 1
        """,
        receiver,
        OTEL_PROPAGATORS="tracecontxt",
    )
    assert out.startswith(said)


@pytest.mark.parametrize("timeout", ["float('inf')", "1e12", "None", "'5'", "'soon'"])
def test_flush_and_shutdown_take_any_timeout(receiver, timeout):
    out = run(
        f"""
        import mmtrace
        mmtrace.configure(service="patient")
        with mmtrace.span("work"):
            pass
        print(mmtrace.flush(timeout={timeout}).exported)
        with mmtrace.span("work"):
            pass
        print(mmtrace.shutdown(timeout={timeout}).exported)
        """,
        receiver,
    )
    assert out == "1\n1\n"


def test_metrics_arrive_although_no_span_is_sampled(receiver):
    run(
        """
        import mmtrace
        mmtrace.configure(sampler="always_off")
        for _ in range(4):
            with mmtrace.model_call("unsampled"):
                pass
        """,
        receiver,
    )
    assert receiver.spans() == []
    assert receiver.histogram("mmtrace.model.call.duration")["unsampled"] == 4


def test_a_threshold_of_an_objective_is_a_bound_of_the_histograms_of_time(receiver):
    run(
        """
        import mmtrace
        mmtrace.configure()
        with mmtrace.model_call("m"):
            pass
        """,
        receiver,
        MMTRACE_LATENCY_BUCKETS="0.4",
    )
    (duration,) = [metric for _, metric in receiver.metrics() if metric.name == "mmtrace.model.call.duration"]
    (point,) = duration.histogram.data_points
    assert {0.25, 0.4, 0.5} <= set(point.explicit_bounds)
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1


def test_a_dead_receiver_neither_hangs_nor_breaks_the_program(receiver):
    out = run(
        """
        import time, mmtrace
        mmtrace.configure(endpoint="http://127.0.0.1:9", shutdown_timeout=1)
        with mmtrace.span("lost"):
            pass
        began = time.monotonic()
        result = mmtrace.shutdown()
        print(result.spooled, time.monotonic() - began < 3)
        """,
        receiver,
    )
    assert out == "1 True\n"


def test_otel_sdk_disabled_records_nothing_and_context_still_travels(receiver):
    out = run(
        """
        import mmtrace
        mmtrace.configure()
        with mmtrace.attach({"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"}), mmtrace.span("s"):
            print(mmtrace.inject({})["traceparent"][3:35])
        """,
        receiver,
        OTEL_SDK_DISABLED="true",
    )
    assert out == "1" * 32 + "\n"
    assert receiver.spans() == []


def test_spans_of_the_applications_own_provider_go_where_it_decided(receiver):
    out = run(
        """
        import mmtrace
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        early = trace.get_tracer("early")
        mmtrace.configure()
        memory = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(memory))
        trace.set_tracer_provider(provider)
        with early.start_as_current_span("theirs"), mmtrace.model_call("ours"):
            pass
        print(*sorted(span.name for span in memory.get_finished_spans()))
        """,
        receiver,
    )
    assert out == "infer ours theirs\n"
    assert receiver.spans() == []
    assert receiver.histogram("mmtrace.model.call.duration")["ours"] == 1


def test_forked_children_are_instances_of_their_own(receiver):
    run(
        """
        import os, mmtrace
        mmtrace.configure(service="forking")
        with mmtrace.span("parent"):
            pass
        pid = os.fork()
        with mmtrace.span("child" if pid == 0 else "after"):
            pass
        if pid == 0:
            mmtrace.flush()
            os._exit(0)
        os.waitpid(pid, 0)
        """,
        receiver,
    )
    spans = {span.name: span.resource.attributes["service.instance.id"] for span in receiver.spans()}
    assert sorted(spans) == ["after", "child", "parent"]
    assert spans["parent"] == spans["after"] != spans["child"]


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        ("resource={'service.instance.id': 'mine'}", {}),
        ("", {"OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=mine"}),
    ],
)
def test_an_instance_id_that_the_user_set_is_kept_in_forked_children(arguments, environment, receiver):
    run(
        f"""
        import os, mmtrace
        mmtrace.configure({arguments})
        pid = os.fork()
        with mmtrace.span("child" if pid == 0 else "parent"):
            pass
        if pid == 0:
            mmtrace.flush()
            os._exit(0)
        os.waitpid(pid, 0)
        """,
        receiver,
        **environment,
    )
    spans = {span.name: span.resource.attributes for span in receiver.spans()}
    assert {resource["service.instance.id"] for resource in spans.values()} == {"mine"}
    assert spans["child"]["process.pid"] != spans["parent"]["process.pid"]


def test_what_configure_leaves_out_is_logged_at_once(receiver):
    out = run(
        """
        import logging, os, sys
        import mmtrace
        logging.basicConfig(stream=sys.stdout, format="%(name)s %(levelname)s %(message)s")
        mmtrace.configure()
        os._exit(0)
        """,
        receiver,
        OTEL_BSP_SCHEDULE_DELAY="soon",
    )
    assert out.startswith("mmtrace WARNING mmtrace: OTEL_BSP_SCHEDULE_DELAY")
    assert out.count("\n") == 1


def test_a_process_that_asked_for_it_delivers_on_sigterm(receiver):
    program = """
        import time, mmtrace
        mmtrace.configure(on_sigterm=True, schedule_delay=60)
        with mmtrace.span("last"):
            pass
        print("ready", flush=True)
        while True:
            time.sleep(0.05)  # a signal that comes just before a sleep is heard after it
        """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=receiver.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(300) == -signal.SIGTERM
    process.stdout.close()
    assert [span.name for span in receiver.spans()] == ["last"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"servise": "x"}, "service"),
        ({"protocol": "gprc"}, "grpc"),
        ({"traces_exporter": "otpl"}, "otlp"),
        ({"sampler": "always_onn"}, "always_on"),
        ({"propagators": "tracecontxt"}, "tracecontext"),
        ({"queue_bytes": -1}, "queue_bytes"),
    ],
)
def test_a_wrong_setting_raises_at_once_and_names_the_nearest(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        mmtrace.configure(**settings)
    assert arguments() is None


def test_a_second_call_adds_arguments_and_a_conflict_is_named(receiver):
    out = run(
        """
        import mmtrace
        from mmtrace.errors import ConfigurationError
        mmtrace.configure(service="one")
        mmtrace.configure(version="7")
        with mmtrace.span("s"):
            pass
        try:
            mmtrace.configure(service="two")
        except ConfigurationError as error:
            print(error)
        """,
        receiver,
    )
    assert "service='one'" in out
    (span,) = receiver.spans()
    assert (span.service, span.resource.attributes["service.version"]) == ("one", "7")


def test_the_console_shows_spans(receiver):
    out = run(
        """
        import mmtrace
        mmtrace.configure(traces_exporter="console", metrics_exporter="none")
        with mmtrace.span("shown"):
            pass
        """,
        receiver,
    )
    assert "shown" in out


def test_logs_of_the_opentelemetry_api_take_the_same_transport(receiver):
    run(
        """
        import mmtrace
        from opentelemetry._logs import get_logger
        mmtrace.configure(service="logging")
        get_logger("app").emit(body="hello")
        """,
        receiver,
    )
    assert receiver.log_bodies() == ["hello"]


def test_metrics_of_the_opentelemetry_api_are_in_the_snapshot(receiver):
    run(
        """
        import mmtrace
        from opentelemetry import metrics
        mmtrace.configure()
        metrics.get_meter("app").create_counter("documents").add(3)
        """,
        receiver,
    )
    assert "documents" in receiver.metric_names()


def test_prometheus_and_otlp_say_the_same(receiver):
    port = free_port()
    out = run(
        f"""
        import urllib.request, mmtrace
        mmtrace.configure(metrics_exporter="otlp,prometheus", prometheus_port={port}, prometheus_host="127.0.0.1")
        for _ in range(2):
            with mmtrace.model_call("same"):
                pass
        with urllib.request.urlopen("http://127.0.0.1:{port}/metrics") as page:
            print(page.read().decode())
        """,
        receiver,
    )
    (line,) = [line for line in out.splitlines() if line.startswith("mmtrace_model_call_duration_seconds_count")]
    assert 'model="same"' in line
    assert line.endswith(" 2.0")
    assert receiver.histogram("mmtrace.model.call.duration")["same"] == 2


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_both_protocols_deliver_all_signals(receiver, protocol):
    endpoint = receiver.url if protocol == "http/protobuf" else receiver.grpc_url
    run(
        f"""
        import mmtrace
        from opentelemetry._logs import get_logger
        mmtrace.configure(protocol="{protocol}", endpoint="{endpoint}")
        with mmtrace.model_call("both"):
            get_logger("app").emit(body="hello")
        """,
        receiver,
    )
    assert [span.name for span in receiver.spans()] == ["infer both"]
    assert receiver.histogram("mmtrace.model.call.duration")["both"] == 1
    assert receiver.log_bodies() == ["hello"]
