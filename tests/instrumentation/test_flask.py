import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server

import flask
import httpx
import pytest
import werkzeug.serving
from opentelemetry import trace

import mmtrace
from mmtrace.testing.instrumentation import InstrumentationCases, instrumented
from mmtrace_instrumentation.flask import instrumentation
from mmtrace_instrumentation.shapes import wsgi

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def current():
    return f"{trace.get_current_span().get_span_context().span_id:016x}"


def application():
    app = flask.Flask("app")

    @app.get("/user/<int:number>")
    def user(number):
        return current()

    @app.get("/stream")
    def stream():
        def body():
            yield "first "
            with mmtrace.span("inside"):
                yield current()

        return flask.Response(body())

    @app.get("/endless")
    def endless():
        return flask.Response(b"x" * 100_000 for _ in iter(int, 1))

    @app.get("/fails")
    def fails():
        raise ValueError("on purpose")

    @app.get("/breaks")
    def breaks():
        def body():
            yield "first"
            raise ValueError("in the middle")

        return flask.Response(body())

    return app


class TestFlaskCases(InstrumentationCases):
    instrumentation = instrumentation

    def use(self):
        client = application().test_client()
        answers = [client.get(path) for path in ("/user/7", "/fails", "/nowhere")]
        return [(answer.status, answer.headers.to_wsgi_list(), len(answer.data)) for answer in answers]


class Quiet(werkzeug.serving.WSGIRequestHandler):
    def log(self, *_):
        pass


@pytest.fixture
def ask():
    """Asks a real server, whose application is Flask's, and waits until it has ended."""
    server = werkzeug.serving.make_server("127.0.0.1", 0, application(), threaded=True, request_handler=Quiet)
    server.daemon_threads = False  # so that closing it waits for what still runs
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    with instrumented(instrumentation):
        thread.start()
        with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}") as client:

            def ask(method, path, **more):
                return client.request(method, path, **more)

            ask.client = client
            ask.end = lambda: (server.shutdown(), server.server_close(), thread.join())
            yield ask
        if thread.is_alive():
            ask.end()


def test_a_request_is_one_span_named_after_its_rule_in_the_trace_of_its_caller(ask, recorded):
    answer = ask("GET", "/user/7?token=secret", headers={"traceparent": PARENT, "User-Agent": "test"})
    ask.end()
    (span,) = recorded.take()
    assert answer.text == f"{span.span_id:016x}"
    assert (span.name, span.kind, span.parent_span_id) == (
        "GET /user/<int:number>",
        trace.SpanKind.SERVER,
        0xB7AD6B7169203331,
    )
    wanted = {
        "http.request.method": "GET",
        "http.route": "/user/<int:number>",
        "http.response.status_code": 200,
        "url.path": "/user/7",
        "url.query": "token=REDACTED",
        "url.scheme": "http",
        "server.address": "127.0.0.1",
        "client.address": "127.0.0.1",
        "network.protocol.version": "1.1",
        "user_agent.original": "test",
    }
    assert wanted.items() <= span.attributes.items()


def test_a_body_that_streams_runs_in_the_context_of_its_request(ask, recorded):
    answer = ask("GET", "/stream")
    ask.end()
    inside, request = sorted(recorded.take(), key=lambda span: span.name != "inside")
    assert answer.text == f"first {inside.span_id:016x}"
    assert inside.parent_span_id == request.span_id
    assert inside.end_time <= request.end_time


def test_what_the_application_raises_makes_the_request_an_error(ask, recorded):
    assert ask("GET", "/fails").status_code == 500
    ask.end()
    (span,) = recorded.take()
    assert span.is_error
    assert span.attributes["error.type"] == "ValueError"
    assert span.name == "GET /fails"


def test_a_path_that_no_rule_matches_is_named_by_its_method_and_no_error(ask, recorded):
    assert ask("GET", "/nowhere").status_code == 404
    ask.end()
    (span,) = recorded.take()
    assert (span.name, span.is_error) == ("GET", False)


def test_a_client_that_leaves_cancels_its_request(ask, recorded):
    with ask.client.stream("GET", "/endless") as answer:
        next(answer.iter_raw())
    ask.end()
    (span,) = recorded.take()
    assert span.name == "GET /endless"
    assert span.attributes["mmtrace.outcome"] == "cancelled"
    assert not span.is_error


def test_any_other_application_takes_the_middleware(recorded):
    class Silent(WSGIRequestHandler):
        def log_message(self, *_):
            pass

    def app(environ, start_response):
        start_response("503 Busy", [("Content-Length", "2")])
        return [b"no"]

    with make_server("127.0.0.1", 0, wsgi.Middleware(app), handler_class=Silent) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert httpx.get(f"http://127.0.0.1:{server.server_port}/").text == "no"
        thread.join()
    (span,) = recorded.take()
    assert (span.name, span.is_error, span.attributes["error.type"]) == ("GET", True, "503")
