"""Frameworks that bring a middleware of OpenTelemetry, with a tracer provider of their own."""

import httpx
import pytest
from opentelemetry import propagate
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import mmtrace


class OpenTelemetryMiddleware:
    """As the one of OpenTelemetry's ASGI instrumentation, which BentoML installs in every service."""

    def __init__(self, app, tracer_provider):
        self.app = app
        self.tracer = tracer_provider.get_tracer("theirs")

    async def __call__(self, scope, receive, send):
        headers = {key.decode(): value.decode() for key, value in scope.get("headers", ())}
        with self.tracer.start_as_current_span("theirs", propagate.extract(headers), SpanKind.SERVER):
            await self.app(scope, receive, send)


def answer(request):
    with mmtrace.model_call("model"):
        return PlainTextResponse("done")


@pytest.fixture
def ask(instrument, serve):
    def ask(provider):
        instrument("starlette")
        app = Starlette(routes=[Route("/", answer)], middleware=[Middleware(OpenTelemetryMiddleware, provider)])
        port = serve(app, lifespan="off")
        assert httpx.get(f"http://127.0.0.1:{port}").text == "done"

    return ask


def test_where_nobody_gets_the_spans_of_the_frameworks_own_provider_ours_does(ask, take):
    ask(TracerProvider(sampler=ALWAYS_OFF))
    theirs, model = sorted(take(2), key=lambda span: span.name, reverse=True)
    assert (theirs.name, theirs.kind, theirs.parent_span_id) == ("theirs", SpanKind.SERVER, None)
    assert (model.trace_id, model.parent_span_id) == (theirs.trace_id, theirs.span_id)


def test_where_the_frameworks_own_provider_has_a_destination_its_spans_go_there(ask, take, eventually):
    memory, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    ask(provider)
    (model,) = take(1)
    eventually(memory.get_finished_spans)
    (theirs,) = memory.get_finished_spans()
    assert (model.trace_id, model.parent_span_id) == (theirs.context.trace_id, theirs.context.span_id)
