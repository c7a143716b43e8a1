"""The span processor: encodes where a span ends, leaves out what was not sampled, loses nothing uncounted."""

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider as StockProvider
from opentelemetry.sdk.trace import export
from opentelemetry.sdk.trace.sampling import Decision, StaticSampler

from mmtrace.otlp.decode import decode_traces
from mmtrace.recording import TracerProvider, guard
from mmtrace.transport import Signal, SpanSink


@pytest.fixture
def tracer_to():
    """A tracer of our own provider whose spans go to a processor."""

    def make(sink, **options):
        provider = TracerProvider(resource=Resource({"service.name": "ocr"}), **options)
        provider.add_span_processor(sink)
        return provider.get_tracer("scope", "1.0")

    return make


def test_a_span_is_delivered_with_its_resource_and_scope(pipeline, shelf, tracer_to):
    sink = SpanSink([pipeline()])
    tracer = tracer_to(sink)
    for name in ("first", "second"):
        tracer.start_span(name, attributes={"pages": 3}).end()
    assert sink.force_flush()
    spans = decode_traces(shelf.bodies[0])
    assert [span.name for span in spans] == ["first", "second"]
    assert {(span.service, span.scope.name, span.attributes["pages"]) for span in spans} == {("ocr", "scope", 3)}


def test_every_pipeline_gets_every_span(pipeline, shelf, tracer_to):
    first, second = pipeline(), pipeline()
    tracer_to(SpanSink([first, second])).start_span("x").end()
    assert (first.flush(5).exported, second.flush(5).exported) == (1, 1)
    assert len(shelf.kept) == 2


def test_what_is_recorded_but_not_sampled_is_counted_and_not_queued(pipeline, tracer_to):
    class RecordOnly(StaticSampler):
        def __init__(self):
            super().__init__(Decision.RECORD_ONLY)

    made = pipeline()
    tracer_to(SpanSink([made]), sampler=RecordOnly()).start_span("x").end()
    assert (made.health.sampled_out, made.health.started) == (1, 0)


def test_spans_of_the_stock_sdk_are_delivered_too(pipeline, shelf):
    class Adapter(export.SpanProcessor):
        def __init__(self, sink):
            self.on_end = sink.on_end

    made = pipeline()
    provider = StockProvider(shutdown_on_exit=False)
    provider.add_span_processor(Adapter(SpanSink([made])))
    provider.get_tracer("stock").start_span("stock span").end()
    made.flush(60)
    assert decode_traces(shelf.bodies[0])[0].name == "stock span"


def test_a_span_that_cannot_be_encoded_is_counted_and_said(pipeline, said):
    class Odd:
        class context:
            trace_flags = 1

    guard.strict = False
    made = pipeline()
    SpanSink([made]).on_end(Odd())
    assert made.health.dropped == {"encode_error": 1}
    made.flush(60)
    assert "could not be encoded" in said()[0]


def test_a_flush_says_whether_everything_arrived(pipeline, shelf, tracer_to):
    sink = SpanSink([pipeline()])
    shelf.open.clear()
    tracer_to(sink).start_span("x").end()
    assert not sink.force_flush(100)
    shelf.open.set()
    assert sink.force_flush(5_000)


def test_a_provider_that_shuts_down_leaves_the_pipeline_open(pipeline, shelf, tracer_to):
    made = pipeline()
    SpanSink([made]).shutdown()
    assert made.add(Signal.TRACES, None, b"x")
