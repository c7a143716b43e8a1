import asyncio
import contextlib
import threading

import anyio
import httpx
import pytest
from opentelemetry import trace
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Host, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from websockets.sync.client import connect

import mmtrace
from mmtrace.instrumenting import suppress
from mmtrace.testing.instrumentation import InstrumentationCases
from mmtrace_instrumentation import starlette as of_starlette
from mmtrace_instrumentation.shapes import asgi
from whereabouts import current, text

SERVER = trace.SpanKind.SERVER
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def hello(request):
    return PlainTextResponse(current())


def in_a_thread(request):
    return PlainTextResponse(current())


async def fails(request):
    raise ValueError("on purpose")


async def streams(request):
    async def body():
        yield "first "
        with mmtrace.span("inside"):
            yield current()

    return StreamingResponse(body())


async def streams_from_a_thread(request):
    def body():
        yield "first "
        yield current()

    return StreamingResponse(body())


async def breaks(request):
    async def body():
        yield "first"
        raise ValueError("in the middle")

    return StreamingResponse(body())


async def never_ends(request):
    async def body():
        while True:
            yield b"x" * 1000
            await asyncio.sleep(0.001)

    return StreamingResponse(body())


async def in_the_background(request):
    async def work():
        with mmtrace.span("background"):
            await asyncio.sleep(0.2)

    return PlainTextResponse("done", background=BackgroundTask(work))


class Endpoint(HTTPEndpoint):
    async def get(self, request):
        return PlainTextResponse(current())


async def socket_endpoint(websocket):
    await websocket.accept()
    with contextlib.suppress(Exception):
        while True:
            await websocket.send_text(await websocket.receive_text() + current())


async def socket_that_lets_the_end_pass(websocket):
    await websocket.accept()
    await websocket.receive_text()
    await websocket.receive_text()


async def refused(websocket):
    await websocket.close()


def routes():
    deep = Starlette(routes=[Route("/z/{k}", hello)])
    return [
        Route("/hello", hello),
        Route("/items/{id:int}", hello, methods=["GET", "POST"]),
        Route("/thread", in_a_thread),
        Route("/fails", fails),
        Route("/streams", streams),
        Route("/thread-streams", streams_from_a_thread),
        Route("/breaks", breaks),
        Route("/never-ends", never_ends),
        Route("/background", in_the_background),
        Route("/class/{a}", Endpoint),
        WebSocketRoute("/rooms/{room}", socket_endpoint),
        WebSocketRoute("/strict", socket_that_lets_the_end_pass),
        WebSocketRoute("/refused", refused),
        Mount("/files", StaticFiles(directory="/")),
        Mount("/tenants/{tenant}", routes=[Route("/x/{y}", hello), Mount("/deep", app=deep)]),
        Host("other.example", Starlette(routes=[Route("/hosted", hello)])),
    ]


class TestKit(InstrumentationCases):
    instrumentation = of_starlette.instrumentation

    async def use(self):
        sent = []
        for path in ("/items/1", "/nope", "/tenants/7/deep/z/1", "/background"):
            await call(Starlette(routes=routes()), path, sent)
        return [(message["type"], message.get("status"), len(message.get("body", b""))) for message in sent]

    async def misuse(self):
        await call(Starlette(routes=routes()), "/fails", [])


@pytest.fixture
def server(instrument, serve):
    instrument("starlette")
    return f"http://127.0.0.1:{serve(Starlette(routes=routes()))}"


def test_a_request_is_one_server_span_named_after_its_route(server, take):
    answer = httpx.get(f"{server}/items/7?q=a&token=hidden", headers={"traceparent": PARENT, "user-agent": "me"})
    (span,) = take(1)
    assert answer.text == text(span)
    assert (span.name, span.kind) == ("GET /items/{id}", SERVER)
    assert (f"{span.trace_id:032x}", f"{span.parent_span_id:016x}") == tuple(PARENT.split("-")[1:3])
    port = int(server.rpartition(":")[2])
    assert span.attributes.pop("client.port") > 0
    assert span.attributes == {
        "http.request.method": "GET",
        "http.route": "/items/{id}",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": "/items/7",
        "url.query": "q=a&token=REDACTED",
        "server.address": "127.0.0.1",
        "server.port": port,
        "client.address": "127.0.0.1",
        "user_agent.original": "me",
        "network.protocol.version": "1.1",
    }
    assert span.status is trace.StatusCode.UNSET


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/class/1", "GET /class/{a}"),
        ("/thread", "GET /thread"),
        ("/tenants/7/x/8", "GET /tenants/{tenant}/x/{y}"),
        ("/tenants/7/deep/z/1", "GET /tenants/{tenant}/deep/z/{k}"),
    ],
)
def test_the_span_is_current_in_endpoints_of_every_kind_and_knows_all_of_its_route(server, take, path, name):
    answer = httpx.get(server + path)
    (span,) = take(1)
    assert (span.name, answer.text) == (name, text(span))


def test_an_address_that_matches_nothing_has_no_route(server, take):
    assert httpx.get(f"{server}/nope/1").status_code == 404
    (span,) = take(1)
    assert span.name == "GET" and "http.route" not in span.attributes
    assert span.attributes["http.response.status_code"] == 404 and not span.is_error


def test_a_method_that_is_not_allowed_still_has_its_route(server, take):
    assert httpx.delete(f"{server}/items/1").status_code == 405
    (span,) = take(1)
    assert span.name == "DELETE /items/{id}"


def test_mounted_files_share_one_route(server, take):
    assert httpx.get(f"{server}/files{__file__}").status_code == 200
    (span,) = take(1)
    assert span.name == "GET /files/{path}"


def test_a_host_route_is_named_after_the_route_inside(server, take):
    httpx.get(f"{server}/hosted", headers={"host": "other.example"})
    (span,) = take(1)
    assert span.name == "GET /hosted" and span.attributes["server.address"] == "other.example"


def test_an_exception_is_recorded_and_reaches_the_server_as_it_was(instrument, spans):
    instrument("starlette")
    sent, error = [], None

    async def run():
        nonlocal error
        try:
            await call(Starlette(routes=routes()), "/fails", sent)
        except ValueError as raised:
            error = raised

    asyncio.run(run())
    span = spans.one()
    assert str(error) == "on purpose"
    assert span.is_error
    assert span.attributes["http.response.status_code"] == 500
    assert span.attributes["error.type"] == "ValueError"
    (event,) = span.events
    assert event.attributes["exception.message"] == "on purpose"


async def call(app, path, sent, receive=None, headers=(), **scope):
    async def nothing():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    whole = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "http_version": "1.1",
        "headers": list(headers),
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        **scope,
    }
    await app(whole, receive or nothing, send)


@pytest.mark.parametrize("status", [500, 503])
def test_a_status_of_500_or_more_is_an_error_without_an_exception(instrument, take, serve, status):
    instrument("starlette")

    async def down(request):
        return JSONResponse({}, status)

    httpx.get(f"http://127.0.0.1:{serve(Starlette(routes=[Route('/down', down)]))}/down")
    (span,) = take(1)
    assert span.is_error and span.attributes["error.type"] == str(status) and not span.events


@pytest.mark.parametrize("path", ["/streams", "/thread-streams"])
def test_the_span_of_a_streamed_answer_covers_its_body_and_is_current_in_it(server, take, path):
    answer = httpx.get(server + path)
    *inside, span = take(2 if path == "/streams" else 1)
    assert span.name == f"GET {path}"
    if inside:
        assert inside[0].parent_span_id == span.span_id
        assert inside[0].end_time <= span.end_time
    assert answer.text.removeprefix("first ") == text((inside or [span])[0])


def test_a_stream_that_breaks_is_an_error(server, take):
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{server}/breaks")
    (span,) = take(1)
    assert span.is_error and span.attributes["error.type"] in {"ValueError", "exceptiongroup.ExceptionGroup"}
    assert span.attributes["http.response.status_code"] == 200


def test_a_client_that_leaves_a_stream_cancels_the_request(server, take):
    with httpx.stream("GET", f"{server}/never-ends") as response:
        next(response.iter_raw())
    (span,) = take(1)
    assert span.attributes["mmtrace.outcome"] == "cancelled"
    assert span.status is trace.StatusCode.UNSET


def test_work_in_the_background_is_a_child_and_does_not_make_the_request_longer(server, take):
    httpx.get(f"{server}/background")
    request, background = take(2)
    assert request.name == "GET /background"
    assert background.parent_span_id == request.span_id
    assert request.duration < background.duration


def test_a_websocket_is_one_server_span_for_as_long_as_it_is_open(server, take, spans):
    with connect(server.replace("http", "ws") + "/rooms/blue") as websocket:
        websocket.send("hi ")
        answer = websocket.recv()
        assert not spans.unclaimed
    (span,) = take(1)
    assert answer == "hi " + text(span)
    assert (span.name, span.kind) == ("GET /rooms/{room}", SERVER)
    assert span.attributes["url.scheme"] == "ws"
    assert span.attributes["network.protocol.name"] == "websocket"
    assert span.attributes["http.response.status_code"] == 101
    assert "mmtrace.outcome" not in span.attributes and not span.is_error


def test_a_websocket_that_the_client_closes_in_good_order_is_no_error_of_an_endpoint_that_expected_more(server, take):
    with connect(server.replace("http", "ws") + "/strict") as websocket:
        websocket.send("one")
    (span,) = take(1)
    assert not span.is_error and "mmtrace.outcome" not in span.attributes


def test_a_websocket_whose_connection_breaks_is_cancelled(instrument, spans):
    instrument("starlette")
    said = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1006}]

    async def receive():
        return said.pop(0)

    with contextlib.suppress(Exception):  # which Starlette raises and a server swallows
        asyncio.run(call(Starlette(routes=routes()), "/strict", [], receive, type="websocket", scheme="ws"))
    span = spans.one()
    assert span.attributes["mmtrace.outcome"] == "cancelled" and not span.is_error


def test_a_websocket_that_is_refused_has_a_status(server, take):
    with pytest.raises(Exception, match="403"), connect(server.replace("http", "ws") + "/refused"):
        pass
    (span,) = take(1)
    assert span.attributes["http.response.status_code"] == 403


def test_a_request_that_is_cancelled_from_outside_is_cancelled(instrument, spans):
    instrument("starlette")

    async def waits(request):
        await anyio.sleep_forever()

    async def run():
        await asyncio.wait_for(call(Starlette(routes=[Route("/waits", waits)]), "/waits", []), 0.05)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(run())
    assert spans.one().attributes["mmtrace.outcome"] == "cancelled"


def test_an_application_that_never_answers_is_an_error(instrument, spans):
    instrument("starlette")

    async def silent(scope, receive, send):
        pass

    asyncio.run(call(Starlette(routes=[Mount("/silent", silent)]), "/silent/x", []))
    assert spans.one().attributes["error.type"] == "incomplete_response"


def test_middleware_of_every_kind_runs_inside_and_the_answer_is_whole(instrument, serve, take):
    instrument("starlette")
    seen = []

    async def dispatch(request, call_next):
        seen.append(current())
        return await call_next(request)

    middleware = [Middleware(GZipMiddleware, minimum_size=1), Middleware(BaseHTTPMiddleware, dispatch=dispatch)]
    port = serve(Starlette(routes=routes(), middleware=middleware))
    answer = httpx.get(f"http://127.0.0.1:{port}/thread-streams")
    (span,) = take(1)
    assert seen == [text(span)]
    assert answer.text == f"first {text(span)}"
    assert span.name == "GET /thread-streams"


def test_several_traceparent_headers_mean_a_new_trace(server, take, w3c):
    headers = [("traceparent", PARENT), ("traceparent", PARENT.replace("b7", "c7"))]
    httpx.get(f"{server}/hello", headers=headers)
    (span,) = take(1)
    assert span.parent_span_id is None
    assert f"{span.trace_id:032x}" not in PARENT


def test_a_span_that_is_open_where_the_server_starts_is_not_the_parent_of_its_requests(instrument, spans):
    instrument("starlette")
    with mmtrace.span("start of the process"):
        asyncio.run(call(Starlette(routes=routes()), "/hello", []))
    request, _ = spans.take()
    assert request.parent_span_id is None


def test_an_application_that_has_served_before_is_traced(instrument, serve, take):
    port = serve(Starlette(routes=routes()))
    httpx.get(f"http://127.0.0.1:{port}/hello")
    instrument("starlette")
    httpx.get(f"http://127.0.0.1:{port}/items/1")
    assert take(1)[0].name == "GET /items/{id}"


def test_the_life_of_the_application_is_left_alone(instrument, serve, spans):
    instrument("starlette")
    happened = []

    @contextlib.asynccontextmanager
    async def lifespan(app):
        happened.append("started")
        yield {"shared": 1}
        happened.append("stopped")

    async def shared(request):
        return JSONResponse(request.state.shared)

    with contextlib.ExitStack():
        port = serve(Starlette(routes=[Route("/shared", shared)], lifespan=lifespan))
        assert httpx.get(f"http://127.0.0.1:{port}/shared").json() == 1
    assert happened == ["started"]
    spans.take()


def test_where_another_middleware_makes_the_server_span_ours_steps_aside(instrument, serve, take):
    theirs = pytest.importorskip("starlette.middleware.opentelemetry", reason="this Starlette has none")
    instrument("starlette")
    app = Starlette(routes=routes(), middleware=[Middleware(theirs.OpenTelemetryMiddleware)])
    httpx.get(f"http://127.0.0.1:{serve(app)}/hello")
    (span,) = take(1)
    assert span.scope.name == "starlette"


def test_where_a_server_span_is_open_around_the_application_ours_steps_aside(instrument, serve, take):
    theirs = pytest.importorskip("starlette.middleware.opentelemetry", reason="this Starlette has none")
    instrument("starlette")
    app = theirs.OpenTelemetryMiddleware(Starlette(routes=routes()))
    httpx.get(f"http://127.0.0.1:{serve(app)}/hello")
    (span,) = take(1)
    assert span.scope.name == "starlette"


def test_an_application_called_inside_a_request_over_its_own_transport_has_its_own_span(instrument, serve, take):
    instrument("starlette", "httpx")
    inner = Starlette(routes=routes())

    async def calls(request):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(inner), base_url="http://inner") as client:
            return PlainTextResponse((await client.get("/hello")).text)

    port = serve(Starlette(routes=[Route("/calls", calls)]))
    with suppress():
        httpx.get(f"http://127.0.0.1:{port}/calls")
    server, client, outer = take(3)
    assert [server.name, client.name, outer.name] == ["GET /hello", "GET", "GET /calls"]
    assert (server.parent_span_id, client.parent_span_id) == (client.span_id, outer.span_id)


def test_any_other_application_is_traced_by_the_middleware(serve, take):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": current().encode()})

    answer = httpx.get(f"http://127.0.0.1:{serve(asgi.Middleware(app), lifespan='off')}/x")
    (span,) = take(1)
    assert (span.name, answer.text) == ("GET", text(span))


def test_many_requests_at_once_keep_their_traces_apart(server, take):
    parents = [f"00-{n:032x}-{n:016x}-01" for n in range(1, 33)]
    answers = {}

    def run(parent):
        answers[parent] = httpx.get(f"{server}/thread", headers={"traceparent": parent}).text

    threads = [threading.Thread(target=run, args=(parent,)) for parent in parents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = {f"00-{span.trace_id:032x}-{span.parent_span_id:016x}-01": text(span) for span in take(32)}
    assert taken == answers


def test_durations_are_measured_by_the_metric_of_the_convention(server, take, measured):
    httpx.get(f"{server}/items/1")
    httpx.get(f"{server}/items/2")
    httpx.get(f"{server}/fails")
    take(3)
    points = {point.attributes["http.route"]: point for point in measured("http.server.request.duration")}
    assert points["/items/{id}"].count == 2
    assert dict(points["/fails"].attributes) == {
        "http.request.method": "GET",
        "http.route": "/fails",
        "http.response.status_code": 500,
        "error.type": "ValueError",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
    }
