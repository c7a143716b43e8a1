import asyncio
import contextlib
from typing import Annotated

import fastapi
import httpx
import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, WebSocket
from fastapi.responses import PlainTextResponse, StreamingResponse
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from websockets.sync.client import connect

import mmtrace
from mmtrace.testing.instrumentation import InstrumentationCases
from mmtrace_instrumentation import fastapi as of_fastapi
from whereabouts import current, text

SERVER = trace.SpanKind.SERVER

of_a_fastapi_that_traces_itself = pytest.mark.skipif(
    not hasattr(FastAPI(), "_telemetry"), reason=f"FastAPI {fastapi.__version__} does not trace itself"
)


async def dependency():
    return current()


def application(**options):
    app = FastAPI(**options)
    router = APIRouter(prefix="/v1")
    outer = APIRouter()

    @app.get("/items/{number}", response_class=PlainTextResponse)
    def item(number: int, seen: Annotated[str, Depends(dependency)]):
        assert seen == current()
        return current()

    @app.get("/fails")
    async def fails():
        raise ValueError("on purpose")

    @app.get("/missing")
    async def missing():
        raise HTTPException(404)

    @app.get("/streams")
    async def streams():
        async def body():
            yield current()

        return StreamingResponse(body())

    @app.get("/background", response_class=PlainTextResponse)
    async def background(tasks: BackgroundTasks):
        async def work():
            with mmtrace.span("background"):
                await asyncio.sleep(0)

        tasks.add_task(work)
        return current()

    @router.get("/deep/{a}", response_class=PlainTextResponse)
    async def deep(a):
        return current()

    @router.websocket("/rooms/{room}")
    async def rooms(websocket: WebSocket, room: str):
        await websocket.accept()
        await websocket.send_text(current())
        await websocket.close()

    outer.include_router(router, prefix="/api")
    app.include_router(outer, prefix="/{tenant}")
    return app


async def hello(request):
    return PlainTextResponse(current())


class TestKit(InstrumentationCases):
    instrumentation = of_fastapi.instrumentation

    async def use(self):
        async with client() as asks:
            answers = [await asks.get(path) for path in ("/items/1", "/items/one", "/acme/api/v1/deep/7", "/missing")]
        return [(answer.status_code, len(answer.content)) for answer in answers]

    async def misuse(self):
        async with client() as asks:
            await asks.get("/fails")


def client():
    return httpx.AsyncClient(transport=httpx.ASGITransport(application()), base_url="http://inside")


@pytest.fixture
def get(serve):
    return lambda app, path, **options: httpx.get(f"http://127.0.0.1:{serve(app)}{path}", **options)


@of_a_fastapi_that_traces_itself
def test_fastapi_alone_traces_itself_with_our_provider(get, take):
    """Without this the other tests would show nothing."""
    get(application(), "/items/1")
    assert sorted(span.name for span in take(3)) == ["GET /items/{number}", "fastapi.dependencies", "fastapi.endpoint"]


def test_a_request_is_one_server_span_of_ours_and_nothing_else(instrument, get, take):
    instrument("fastapi", "starlette")
    answer = get(application(), "/items/1")
    (span,) = take(1)
    assert (span.name, span.kind, span.scope.name) == ("GET /items/{number}", SERVER, "mmtrace")
    assert answer.text == text(span)
    assert span.attributes["http.route"] == "/items/{number}"


def test_fastapi_is_traced_without_the_instrumentation_of_starlette(instrument, get, take):
    instrument("fastapi")
    get(application(), "/items/1")
    assert take(1)[0].name == "GET /items/{number}"


def test_a_request_of_an_included_router_has_its_whole_route(instrument, get, take):
    instrument("fastapi", "starlette")
    get(application(), "/acme/api/v1/deep/7")
    assert take(1)[0].name == "GET /{tenant}/api/v1/deep/{a}"


def test_the_pages_of_fastapi_itself_have_their_route(instrument, get, take):
    instrument("fastapi", "starlette")
    assert get(application(), "/openapi.json").status_code == 200
    assert take(1)[0].name == "GET /openapi.json"


@pytest.mark.parametrize("order", [("fastapi", "starlette"), ("starlette", "fastapi")])
def test_an_application_of_starlette_inside_of_fastapi_makes_no_second_span(instrument, get, take, order):
    instrument(*order)
    app = application()
    app.mount("/inner/{tenant}", Starlette(routes=[Route("/hello/{name}", hello)]))
    answer = get(app, "/inner/acme/hello/you")
    (span,) = take(1)
    assert (span.name, answer.text) == ("GET /inner/{tenant}/hello/{name}", text(span))


@pytest.mark.parametrize("order", [("fastapi", "starlette"), ("starlette", "fastapi")])
def test_an_application_of_fastapi_inside_of_starlette_makes_no_second_span(instrument, get, take, order):
    instrument(*order)
    answer = get(Starlette(routes=[Mount("/inner", application())]), "/inner/items/1")
    (span,) = take(1)
    assert (span.name, answer.text) == ("GET /inner/items/{number}", text(span))


def test_an_application_of_fastapi_inside_of_another_makes_no_second_span(instrument, get, take):
    instrument("fastapi", "starlette")
    app = application()
    app.mount("/inner", application())
    get(app, "/inner/acme/api/v1/deep/1")
    assert take(1)[0].name == "GET /inner/{tenant}/api/v1/deep/{a}"


def test_a_failing_endpoint_is_an_error_with_its_exception(instrument, get, take):
    instrument("fastapi", "starlette")
    assert get(application(), "/fails").status_code == 500
    (span,) = take(1)
    assert span.attributes["error.type"] == "ValueError"
    assert span.events[0].attributes["exception.message"] == "on purpose"


@pytest.mark.parametrize(("path", "status"), [("/missing", 404), ("/items/one", 422)])
def test_a_mistake_of_the_client_is_no_error(instrument, get, take, path, status):
    instrument("fastapi", "starlette")
    assert get(application(), path).status_code == status
    (span,) = take(1)
    assert span.attributes["http.response.status_code"] == status and not span.is_error


def test_streams_and_background_tasks_are_inside_the_request(instrument, get, take):
    instrument("fastapi", "starlette")
    app = application()
    answer = get(app, "/streams")
    assert answer.text == text(take(1)[0])
    get(app, "/background")
    request, background = take(2)
    assert background.parent_span_id == request.span_id


def test_a_websocket_is_one_server_span(instrument, serve, take):
    instrument("fastapi", "starlette")
    with connect(f"ws://127.0.0.1:{serve(application())}/acme/api/v1/rooms/blue") as websocket:
        answer = websocket.recv()
    (span,) = take(1)
    assert (span.name, answer) == ("GET /{tenant}/api/v1/rooms/{room}", text(span))


def test_an_application_that_has_served_before_is_traced(instrument, serve, take):
    port = serve(application(telemetry={"tracing": False}))
    httpx.get(f"http://127.0.0.1:{port}/items/1")
    instrument("fastapi", "starlette")
    httpx.get(f"http://127.0.0.1:{port}/items/1")
    assert take(1)[0].name == "GET /items/{number}"


def test_with_its_own_tracing_switched_off_it_is_traced_by_us(instrument, get, take):
    instrument("fastapi", "starlette")
    get(application(telemetry={"tracing": False}), "/items/1")
    assert take(1)[0].scope.name == "mmtrace"


@of_a_fastapi_that_traces_itself
def test_an_application_with_a_tracer_provider_of_its_own_is_left_to_it(instrument, get, spans, eventually):
    instrument("fastapi", "starlette")
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    get(application(telemetry={"tracer_provider": provider, "operation_spans": False}), "/items/1")
    eventually(exporter.get_finished_spans)
    assert [span.name for span in exporter.get_finished_spans()] == ["GET /items/{number}"]
    assert not spans.unclaimed
    provider.shutdown()


@of_a_fastapi_that_traces_itself
def test_requests_that_the_application_excludes_are_not_traced(instrument, get, take):
    instrument("fastapi", "starlette")
    app = application(telemetry={"exclude": lambda scope: scope["path"] == "/missing"})
    get(app, "/missing")
    get(app, "/items/1")
    assert take(1)[0].name == "GET /items/{number}"


def test_the_middleware_of_contrib_is_not_doubled(instrument, get, take):
    instrument("fastapi", "starlette")

    class OpenTelemetryMiddleware:
        """Stands in the stack as contrib's does, with its name, and makes the span."""

        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            span = trace.get_tracer("contrib").start_as_current_span("theirs", kind=SERVER)
            with span if scope["type"] == "http" else contextlib.nullcontext():
                await self.app(scope, receive, send)

    OpenTelemetryMiddleware.__module__ = "opentelemetry.instrumentation.asgi"
    app = application()
    app.add_middleware(OpenTelemetryMiddleware)
    get(app, "/items/1")
    assert [span.name for span in take(1)] == ["theirs"]
