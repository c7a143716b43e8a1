import gc
import io
import json
import subprocess
import sys
import threading

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult

from mmtrace.errors import ConfigurationError
from mmtrace.recording import TracerProvider, guard


def test_a_scope_has_one_tracer(resource):
    provider = TracerProvider(resource)
    tracer = provider.get_tracer("library", "1", "https://schema", {"a": [1]})
    assert provider.get_tracer("library", "1", "https://schema", {"a": (1,)}) is tracer
    assert provider.get_tracer("library", "1", "https://schema") is not tracer
    assert provider.get_tracer("library", "1", schema_url="https://schema") is not provider.get_tracer("library")
    assert tracer.resource is resource is provider.resource


def test_a_span_names_its_scope(memory):
    memory.provider.get_tracer("library", "2", "https://schema", {"a": 1}).start_span("work").end()
    scope = memory.span.instrumentation_scope
    assert (scope.name, scope.version, scope.schema_url) == ("library", "2", "https://schema")
    assert scope.attributes == {"a": 1}
    assert {scope: 1}


@pytest.mark.parametrize("name", [None, ""])
def test_a_scope_without_a_name_is_reported(memory, name):
    memory.provider.get_tracer(name).start_span("work").end()
    assert memory.span.instrumentation_scope.name == ""
    assert guard.faults["scope name"] == 1


def test_without_a_resource_the_variables_describe_it(monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "reranker")
    assert TracerProvider().resource.attributes["service.name"] == "reranker"


def test_the_resource_can_be_replaced_for_spans_that_run(memory):
    span = memory.tracer.start_span("work")
    other = Resource({"service.name": "child"})
    memory.provider.replace_resource(other)
    span.end()
    assert memory.span.resource is other is memory.tracer.resource


def test_nothing_is_recorded_where_the_sdk_is_disabled(monkeypatch, remembering):
    monkeypatch.setenv("OTEL_SDK_DISABLED", " TRUE ")
    memory = remembering()
    with memory.tracer.start_as_current_span("work") as span:
        assert not span.is_recording()
    assert memory.spans == ()


def test_a_wrong_variable_is_an_error_where_the_provider_is_made(monkeypatch, resource):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always-on")
    with pytest.raises(ConfigurationError, match="did you mean 'always_on'"):
        TracerProvider(resource)


class Telling:
    """A processor of the stock interface that notes what it is called with."""

    def __init__(self):
        self.calls = []

    def on_start(self, span, parent_context=None):
        span.set_attribute("on_start", span.is_recording())
        self.calls.append("on_start")

    def _on_ending(self, span):
        span.set_attribute("on_ending", span.end_time is not None)
        self.calls.append("_on_ending")

    def on_end(self, span):
        span.set_attribute("on_end", True)
        self.calls.append("on_end")

    def shutdown(self):
        self.calls.append("shutdown")

    def force_flush(self, timeout_millis=30000):
        self.calls.append("force_flush")
        return True


def test_processors_are_called_in_their_order(memory):
    telling = Telling()
    memory.provider.add_span_processor(telling)
    memory.tracer.start_span("work").end()
    assert memory.provider.force_flush()
    memory.provider.shutdown()
    memory.provider.shutdown()
    assert telling.calls == ["on_start", "_on_ending", "on_end", "force_flush", "shutdown"]
    assert memory.span.attributes == {"on_start": True, "on_ending": True}


def test_a_processor_that_wants_only_the_end_is_called_only_then(resource):
    class Sink(Telling):
        on_start = None
        _on_ending = None

    sink, provider = Sink(), TracerProvider(resource)
    provider.add_span_processor(sink)
    provider.get_tracer("test").start_span("work").end()
    assert sink.calls == ["on_end"]


def test_a_processor_may_note_things_on_the_span(memory):
    class Noting(Telling):
        def on_start(self, span, parent_context=None):
            span.noted = parent_context

        def on_end(self, span):
            self.calls.append(span.noted)

    noting = Noting()
    memory.provider.add_span_processor(noting)
    memory.tracer.start_span("work").end()
    assert noting.calls == ["_on_ending", {}]


def test_a_processor_that_fails_is_named_and_the_others_are_called(resource):
    class Failing(Telling):
        def _fail(self, *arguments, **named):
            raise RuntimeError("broken")

        on_start = _on_ending = on_end = shutdown = force_flush = _fail

    provider, exporter = TracerProvider(resource), InMemorySpanExporter()
    provider.add_span_processor(Failing())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.get_tracer("test").start_span("work").end()
    assert not provider.force_flush()
    provider.shutdown()
    assert [span.name for span in exporter.get_finished_spans()] == ["work"]
    failing = f"{Failing.__qualname__}"
    for method in ("on_start", "_on_ending", "on_end", "shutdown", "force_flush"):
        assert guard.faults[f"{failing}.{method}"] == 1


def test_flushing_has_a_deadline(resource):
    class Slow(Telling):
        def force_flush(self, timeout_millis=30000):
            threading.Event().wait(timeout_millis / 1000)
            return False

    provider = TracerProvider(resource)
    provider.add_span_processor(Slow())
    second = Telling()
    provider.add_span_processor(second)
    assert not provider.force_flush(50)
    assert second.calls == []


def test_the_stock_batch_processor_takes_our_spans(resource):
    exporter, provider = InMemorySpanExporter(), TracerProvider(resource)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    for number in range(600):
        provider.get_tracer("test").start_span(str(number)).end()
    assert provider.force_flush()
    assert len(exporter.get_finished_spans()) == 600
    provider.shutdown()


def test_spans_that_are_recorded_but_not_sampled_stay_here(resource):
    class RecordOnly(Sampler):
        def should_sample(self, *arguments, **named):
            return SamplingResult(Decision.RECORD_ONLY)

        def get_description(self):
            return "RecordOnly"

    exporter, telling = InMemorySpanExporter(), Telling()
    provider = TracerProvider(resource, RecordOnly())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.add_span_processor(telling)
    provider.get_tracer("test").start_span("work").end()
    assert exporter.get_finished_spans() == ()
    assert telling.calls == ["on_start", "_on_ending", "on_end"]


def test_the_console_exporter_prints_what_it_prints_for_a_stock_span(resource):
    from opentelemetry.sdk.trace import TracerProvider as StockProvider

    printed = []
    for provider in (TracerProvider(resource), StockProvider(resource=resource, shutdown_on_exit=False)):
        out = io.StringIO()
        provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=out)))
        parent = trace.SpanContext(5, 6, is_remote=True, trace_flags=trace.TraceFlags(1))
        context = trace.set_span_in_context(trace.NonRecordingSpan(parent), trace.Context())
        link = trace.Link(parent, {"b": 1})
        span = provider.get_tracer("test").start_span(
            "work", context, trace.SpanKind.CLIENT, {"a": ["x", "y"]}, [link], 1_700_000_000_000_000_000
        )
        span.add_event("happened", {"c": 1.5}, 1_700_000_000_500_000_000)
        span.set_status(trace.StatusCode.ERROR, "why")
        span.end(1_700_000_001_000_000_000)
        printed.append(json.loads(out.getvalue()))
    for said in printed:
        said["context"].pop("span_id")
    assert printed[0] == printed[1]


def test_a_provider_leaves_nothing_behind(resource):
    threads = threading.active_count()
    for _ in range(50):
        TracerProvider(resource).get_tracer("test").start_span("work").end()
    gc.collect()
    assert threading.active_count() == threads
    assert not [thing for thing in gc.get_objects() if type(thing) is TracerProvider and thing.resource is resource]


def test_a_forked_child_has_ids_of_its_own():
    program = """if True:
        import os
        from mmtrace.recording import TracerProvider
        tracer = TracerProvider(object()).get_tracer("test")
        read, write = os.pipe()
        for _ in range(2):
            if not os.fork():
                span = tracer.start_span("work").get_span_context()
                os.write(write, f"{span.trace_id} {span.span_id} ".encode())
                os._exit(0)
            os.wait()
        span = tracer.start_span("work").get_span_context()
        seen = os.read(read, 1000).decode().split() + [str(span.trace_id), str(span.span_id)]
        assert len(seen) == len(set(seen)) == 6, seen
    """
    subprocess.run([sys.executable, "-c", program], check=True)


def test_importing_the_recorder_loads_no_sdk_and_leaves_the_global_provider_alone():
    program = """if True:
        import sys
        import mmtrace.recording, mmtrace.recording.facade, mmtrace.recording.carriers, mmtrace.recording.propagation
        from opentelemetry import trace
        assert type(trace.get_tracer_provider()) is trace.ProxyTracerProvider
        for name in ("opentelemetry.sdk", "asyncio", "importlib.metadata", "ssl", "google.protobuf", "wrapt", "grpc"):
            assert name not in sys.modules, name
    """
    subprocess.run([sys.executable, "-c", program], check=True)
