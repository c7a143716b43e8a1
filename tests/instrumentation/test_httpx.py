import asyncio
import threading

import httpx
import pytest
from opentelemetry import baggage, context, trace

import mmtrace
from mmtrace.instrumenting import suppress
from mmtrace.spans import SpanData
from mmtrace.testing.instrumentation import InstrumentationCases
from mmtrace_instrumentation import httpx as of_httpx

try:
    import httpx2
except ImportError:  # it needs Python 3.11
    httpx2 = None

CLIENT = trace.SpanKind.CLIENT
needs_httpx2 = pytest.mark.skipif(httpx2 is None, reason="httpx2 is not installed: it needs Python 3.11")


async def app(scope, receive, send):
    """Answers with the headers that it got, one a line; /redirect leads on, /status/N answers N, /slow never does."""
    path = scope["path"]
    if scope["type"] != "http":
        return
    while path == "/slow" and (await receive())["type"] != "http.disconnect":
        pass
    headers = [(b"location", b"/end")] if path == "/redirect" else []
    status = 302 if path == "/redirect" else int(path.rpartition("/")[2]) if path.startswith("/status/") else 200
    await send({"type": "http.response.start", "status": status, "headers": headers})
    lines = [name + b": " + value for name, value in scope["headers"]]
    for line in lines:
        await send({"type": "http.response.body", "body": line + b"\n", "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def traceparents(response):
    return [line[13:] for line in response.text.splitlines() if line.startswith("traceparent: ")]


def header(span: SpanData, flags="01"):
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{flags}"


class _Cases(InstrumentationCases):
    library = httpx

    @pytest.fixture(autouse=True)
    def _server(self, server):
        self.server = server

    async def use(self):
        with self.library.Client(follow_redirects=True) as client:
            answers = [client.get(self.server), client.get(f"{self.server}/redirect")]
        async with self.library.AsyncClient() as client:
            answers.append(await client.get(f"{self.server}/status/404"))
        return [(answer.status_code, len(answer.history), dict(answer.request.headers)) for answer in answers]

    async def misuse(self):
        async with self.library.AsyncClient() as client:
            await client.get("http://127.0.0.1:1/")


class TestHttpx(_Cases):
    instrumentation = of_httpx.instrumentation


@needs_httpx2
class TestHttpx2(_Cases):
    instrumentation = of_httpx.instrumentation2
    library = httpx2


@pytest.fixture(params=["httpx", pytest.param("httpx2", marks=needs_httpx2)])
def library(request, instrument):
    instrument("httpx", name="instrumentation2" if request.param == "httpx2" else "instrumentation")
    return httpx2 if request.param == "httpx2" else httpx


@pytest.fixture(params=["sync", "async"])
def get(request, library):
    """Gets with a client of either kind."""

    def sync(*args, **kwargs):
        with library.Client() as client:
            return client.get(*args, **kwargs)

    def with_asyncio(*args, **kwargs):
        async def run():
            async with library.AsyncClient() as client:
                return await client.get(*args, **kwargs)

        return asyncio.run(run())

    return sync if request.param == "sync" else with_asyncio


@pytest.fixture
def server(serve):
    return f"http://127.0.0.1:{serve(app, lifespan='off')}"


def test_a_request_is_one_client_span_that_the_server_gets_as_its_parent(get, server, spans):
    response = get(f"{server}/there?a=1")
    span = spans.one()
    assert (span.name, span.kind) == ("GET", CLIENT)
    port = int(server.rpartition(":")[2])
    assert span.attributes == {
        "http.request.method": "GET",
        "url.full": f"{server}/there?a=1",
        "server.address": "127.0.0.1",
        "server.port": port,
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
    }
    (sent,) = traceparents(response)
    assert sent[:52] == header(span)[:52]


def test_the_span_is_a_child_of_the_current_one(get, server, spans):
    with mmtrace.span("caller"):
        get(server)
    client, caller = spans.take()
    assert client.parent_span_id == caller.span_id


@pytest.mark.parametrize("status", [404, 500])
def test_a_status_of_400_or_more_is_an_error(get, server, spans, status):
    assert get(f"{server}/status/{status}").status_code == status
    span = spans.one()
    assert span.is_error
    assert span.attributes["error.type"] == str(status)
    assert not span.events


def test_a_failure_to_connect_is_recorded_and_raised_as_it_is(get, library, spans):
    with pytest.raises(library.ConnectError) as raised:
        get("http://127.0.0.1:1/")
    span = spans.one()
    assert span.is_error
    assert span.attributes["error.type"] == f"{type(raised.value).__module__}.ConnectError"
    assert [event.name for event in span.events] == ["exception"]
    assert "traceparent" not in raised.value.request.headers


def test_each_redirect_is_a_request_of_its_own_and_is_counted(get, server, spans):
    response = get(f"{server}/redirect", follow_redirects=True)
    first, second = spans.take()
    assert first.attributes["http.response.status_code"] == 302
    assert "http.request.resend_count" not in first.attributes
    assert second.attributes["http.request.resend_count"] == 1
    assert first.parent_span_id == second.parent_span_id
    (sent,) = traceparents(response)
    assert sent[:52] == header(second)[:52]


def test_a_traceparent_of_the_caller_stays_as_it_is(get, server, spans):
    mine = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
    with mmtrace.span("caller"):
        response = get(server, headers={"traceparent": mine})
    assert traceparents(response) == [mine]
    spans.take()


def test_the_request_of_the_caller_is_sent_and_never_changed(library, server, spans):
    request = library.Request("POST", server, content=iter([b"a", b"b"]))
    before = dict(request.headers)
    with library.Client() as client:
        response = client.send(request)
    assert response.request is request
    assert dict(request.headers) == before
    spans.take()


def test_a_request_that_is_sent_twice_carries_each_time_its_own_span(library, server, spans):
    request = library.Request("GET", server)
    with library.Client() as client:
        texts = [traceparents(client.send(request)) for _ in range(2)]
    assert [text[0][:52] for text in texts] == [header(span)[:52] for span in spans.take()]


def test_credentials_and_secrets_of_the_address_are_not_recorded(get, server, spans):
    get(server.replace("//", "//user:hidden@") + "/x?a=1&api_key=hidden&sig=hidden#z")
    span = spans.one()
    assert span.attributes["url.full"] == (
        server.replace("//", "//REDACTED:REDACTED@") + "/x?a=1&api_key=REDACTED&sig=REDACTED#z"
    )


def test_an_unknown_method_is_named_other(library, server, spans):
    with library.Client() as client:
        client.request("BREW", server)
    span = spans.one()
    assert span.name == "HTTP"
    assert span.attributes["http.request.method"] == "_OTHER"
    assert span.attributes["http.request.method_original"] == "BREW"


def test_a_streamed_answer_is_measured_until_its_headers_and_reads_on(library, server, spans):
    with library.Client() as client, client.stream("GET", server) as response:
        assert spans.one().attributes["http.response.status_code"] == 200
        assert b"host" in response.read()


def test_a_request_that_is_cancelled_is_no_error(library, server, spans):
    async def run():
        async with library.AsyncClient() as client:
            await asyncio.wait_for(client.get(f"{server}/slow"), 0.1)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(run())
    span = spans.one()
    assert span.attributes["mmtrace.outcome"] == "cancelled"
    assert span.status is trace.StatusCode.UNSET
    assert not span.events


def test_nothing_is_recorded_or_sent_where_instrumentation_is_suppressed(get, server, spans):
    with suppress():
        assert traceparents(get(server)) == []


def test_baggage_is_sent_but_not_to_hosts_of_model_apis(library, spans):
    seen = {}

    def handle(request):
        seen[request.url.host] = dict(request.headers)
        return library.Response(200)

    token = context.attach(baggage.set_baggage("user", "42"))
    try:
        with library.Client(transport=library.MockTransport(handle)) as client:
            client.get("http://reranker.internal/")
            client.get("https://api.openai.com/v1/models")
    finally:
        context.detach(token)
    assert seen["reranker.internal"]["baggage"] == "user=42"
    assert "baggage" not in seen["api.openai.com"] and "traceparent" in seen["api.openai.com"]
    spans.take()


def test_requests_of_many_threads_are_each_in_the_trace_of_their_own_caller(library, server, spans):
    def run(number):
        with mmtrace.span(f"caller {number}"), library.Client() as client:
            client.get(f"{server}/{number}")

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = spans.take()
    callers = {span.span_id: span.name for span in taken if span.kind is not CLIENT}
    for span in taken:
        if span.kind is CLIENT:
            assert callers[span.parent_span_id] == f"caller {span.attributes['url.full'].rpartition('/')[2]}"


def test_durations_are_measured_by_the_metric_of_the_convention(get, server, spans, measured):
    get(server)
    get(f"{server}/status/404")
    points = {
        point.attributes["http.response.status_code"]: point for point in measured("http.client.request.duration")
    }
    assert dict(points[404].attributes) == {
        "http.request.method": "GET",
        "http.response.status_code": 404,
        "error.type": "404",
        "server.address": "127.0.0.1",
        "server.port": int(server.rpartition(":")[2]),
        "network.protocol.version": "1.1",
    }
    assert "error.type" not in points[200].attributes and points[200].count == 1
    assert points[200].explicit_bounds[0] == 0.005
    spans.take()


def test_headers_can_be_switched_off(instrument, server, spans):
    instrument("httpx", carriers={"httpx": False})
    assert traceparents(httpx.get(server)) == []
    spans.take()


def test_baggage_for_hosts_of_model_apis_can_be_asked_for(instrument, spans):
    instrument("httpx", carriers={"baggage_to_model_apis": True})
    seen = []
    transport = httpx.MockTransport(lambda request: seen.append(request.headers.get("baggage")) or httpx.Response(200))
    token = context.attach(baggage.set_baggage("user", "42"))
    with httpx.Client(transport=transport) as client:
        client.get("https://api.anthropic.com/v1/messages")
    context.detach(token)
    assert seen == ["user=42"]
    spans.take()
