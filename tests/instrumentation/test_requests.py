import http.server
import threading

import pytest
import requests
from opentelemetry import trace

import mmtrace
from mmtrace.instrumenting import suppress
from mmtrace.testing.instrumentation import InstrumentationCases
from mmtrace_instrumentation import requests as of_requests


class _Echo(http.server.BaseHTTPRequestHandler):
    """Answers with the headers that it got; /redirect leads on, /status/N answers N, /cut hangs up."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/cut":
            self.close_connection = True
            return
        status = int(self.path.rpartition("/")[2]) if self.path.startswith("/status/") else 200
        body = str(self.headers).encode()
        self.send_response(302 if self.path == "/redirect" else status)
        if self.path == "/redirect":
            self.send_header("Location", "/end")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class TestKit(InstrumentationCases):
    instrumentation = of_requests.instrumentation

    @pytest.fixture(autouse=True)
    def _server(self, server):
        self.server = server

    def use(self):
        with requests.Session() as session:
            answer = session.post(f"{self.server}/redirect", data=b"x")
        return answer.status_code, len(answer.history), dict(answer.request.headers)

    def misuse(self):
        requests.get("http://no.such.host.invalid:99999/")


@pytest.fixture
def session(instrument):
    instrument("requests")
    with requests.Session() as session:
        yield session


def traceparents(response):
    return [line[13:] for line in response.text.splitlines() if line.lower().startswith("traceparent: ")]


def header(span):
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-"


def test_a_request_is_one_client_span_that_the_server_gets_as_its_parent(session, server, spans):
    with mmtrace.span("caller"):
        response = session.get(f"{server}/there", params={"a": 1})
    span, caller = spans.take()
    assert (span.name, span.kind, span.parent_span_id) == ("GET", trace.SpanKind.CLIENT, caller.span_id)
    assert span.attributes == {
        "http.request.method": "GET",
        "url.full": f"{server}/there?a=1",
        "server.address": "127.0.0.1",
        "server.port": int(server.rpartition(":")[2]),
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
    }
    (sent,) = traceparents(response)
    assert sent.startswith(header(span))


def test_each_redirect_is_a_request_of_its_own_and_is_counted(session, server, spans):
    with mmtrace.span("caller"):
        response = session.get(f"{server}/redirect")
    first, second, caller = spans.take()
    assert (first.parent_span_id, second.parent_span_id) == (caller.span_id, caller.span_id)
    assert "http.request.resend_count" not in first.attributes
    assert second.attributes["http.request.resend_count"] == 1
    assert traceparents(response)[0].startswith(header(second))
    assert traceparents(response.history[0])[0].startswith(header(first))


def test_the_count_starts_anew_with_each_call(session, server, spans):
    session.get(server)
    session.get(server)
    assert all("http.request.resend_count" not in span.attributes for span in spans.take())


def test_a_status_of_400_or_more_is_an_error(session, server, spans):
    session.get(f"{server}/status/404")
    span = spans.one()
    assert span.is_error and span.attributes["error.type"] == "404"


def test_a_connection_that_breaks_is_recorded_and_raised_as_it_is(session, server, spans):
    with pytest.raises(requests.ConnectionError) as raised:
        session.get(f"{server}/cut")
    span = spans.one()
    assert span.attributes["error.type"] == "requests.exceptions.ConnectionError"
    assert "traceparent" not in raised.value.request.headers


def test_the_request_of_the_caller_is_never_changed(session, server, spans):
    prepared = session.prepare_request(requests.Request("POST", server, data=b"x", headers={"A": "b"}))
    before = dict(prepared.headers)
    response = session.send(prepared)
    assert response.request is prepared
    assert dict(prepared.headers) == before
    spans.take()


def test_a_traceparent_of_the_caller_stays_as_it_is(session, server, spans):
    mine = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
    assert traceparents(session.get(server, headers={"TraceParent": mine})) == [mine]
    spans.take()


def test_a_streamed_answer_is_measured_until_its_headers_and_reads_on(session, server, spans):
    with session.get(server, stream=True) as response:
        assert spans.one().attributes["http.response.status_code"] == 200
        assert b"".join(response.iter_content(10))


def test_nothing_is_recorded_or_sent_where_instrumentation_is_suppressed(session, server, spans):
    with suppress():
        assert traceparents(session.get(server)) == []


def test_a_session_that_existed_before_is_traced(instrument, server, spans):
    with requests.Session() as session:
        instrument("requests")
        assert traceparents(session.get(server))[0].startswith(header(spans.one()))
