"""Servers with several processes, started as their users start them and stopped right after their last answer."""

import shlex
import signal
from dataclasses import dataclass

import pytest

from processes.programs import RUN, Outcomes, Server, environment
from receiver import Receiver

WSGI = """
import os
from opentelemetry import trace

def app(environ, start_response):
    with trace.get_tracer("test").start_as_current_span("work"):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(os.getpid()).encode()]
"""
ASGI = """
import os
from opentelemetry import trace

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    with trace.get_tracer("test").start_as_current_span("work"):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""
CONFIGURED = "import mmtrace; mmtrace.configure(); mmtrace.instrument()\n"
TIMES = 24


@dataclass
class Case:
    """An application, the command that serves it, where its telemetry goes, and how it is stopped."""

    app: str
    command: str
    protocol: str = "http"
    end: int = signal.SIGTERM


GUNICORN = (
    "gunicorn app:app --bind 127.0.0.1:{port} --workers 2 --log-level warning "
    "--graceful-timeout 5 "  # in place of 30: a worker that is still starting misses the signal, and is waited for
)
UVICORN = "uvicorn app:app --port {port} --log-level warning "
UWSGI = (
    "uwsgi --http-socket 127.0.0.1:{port} --wsgi-file app.py --callable app --master --processes 2 "
    "--hook-master-start 'unix_signal:15 gracefully_kill_them_all' "  # by default it leaves out atexit while it is busy
    "--hook-accepting 'print:a worker accepts' "
)
CASES = {
    "gunicorn sync": Case(WSGI, GUNICORN),
    "gunicorn sync, gRPC": Case(WSGI, GUNICORN, "grpc"),
    "gunicorn sync, preloaded": Case(WSGI, GUNICORN + "--preload"),
    "gunicorn sync, preloaded, gRPC": Case(WSGI, GUNICORN + "--preload", "grpc"),
    "gunicorn sync, configured by the application": Case(CONFIGURED + WSGI, GUNICORN),
    "gunicorn sync, configured and preloaded": Case(CONFIGURED + WSGI, GUNICORN + "--preload"),
    "gunicorn sync, few requests": Case(WSGI, GUNICORN + "--max-requests 5"),
    "gunicorn sync, SIGINT": Case(WSGI, GUNICORN, end=signal.SIGINT),
    "gunicorn gthread": Case(WSGI, GUNICORN + "--threads 4"),
    "gunicorn gevent": Case(WSGI, GUNICORN + "-k gevent"),
    "gunicorn gevent, gRPC": Case(WSGI, GUNICORN + "-k gevent", "grpc"),
    "gunicorn gevent, preloaded": Case(WSGI, GUNICORN + "-k gevent --preload"),
    "gunicorn gevent, configured by the application": Case(CONFIGURED + WSGI, GUNICORN + "-k gevent"),
    "gunicorn asgi": Case(ASGI, GUNICORN + "-k asgi"),
    "gunicorn uvicorn": Case(ASGI, GUNICORN + "-k uvicorn_worker.UvicornWorker"),
    "gunicorn uvicorn, gRPC": Case(ASGI, GUNICORN + "-k uvicorn_worker.UvicornWorker", "grpc"),
    "gunicorn uvicorn, few requests": Case(ASGI, GUNICORN + "-k uvicorn_worker.UvicornWorker --max-requests 5"),
    "uvicorn": Case(ASGI, UVICORN),
    "uvicorn, gRPC": Case(ASGI, UVICORN, "grpc"),
    "uvicorn, configured by the application": Case(CONFIGURED + ASGI, UVICORN),
    "uvicorn, workers": Case(ASGI, UVICORN + "--workers 2"),
    "uwsgi": Case(WSGI, UWSGI),
    "uwsgi, gRPC": Case(WSGI, UWSGI, "grpc"),
    "uwsgi, threads": Case(WSGI, UWSGI + "--threads 2"),
    "uwsgi, configured by the application": Case(CONFIGURED + WSGI, UWSGI),
}


def runs_alone(name):
    """Whether the application configures itself, so that nothing stands before the server."""
    return "configured" in name


@pytest.fixture(scope="module")
def outcomes(request, tmp_path_factory):
    """The answers, what the server said, its exit code, and the spans of each case."""

    def run(name, case):
        folder = tmp_path_factory.mktemp("server")
        (folder / "app.py").write_text(case.app)
        command = (*(() if runs_alone(name) else RUN), *shlex.split(case.command))
        server = Server(command, environment(receiver, folder, case.protocol, MMTRACE_SERVICE=name), folder)
        try:
            if "uwsgi" in name:  # whoever is still starting misses the signal to end, and is waited for for ever
                server.wait_until_it_says('gracefully_kill_them_all" (master-start)')
                server.wait_until_it_says("a worker accepts\n", times=2)
            answers = [server.wait_until_it_answers(), *server.ask_often(TIMES)]
            code, seconds = server.stop(case.end, insist="gevent" in name)
        finally:
            server.kill()
        return answers, server.log, code, seconds, [span for span in receiver.spans() if span.service == name]

    with Receiver() as receiver:
        yield Outcomes(request, run, CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_server_that_is_stopped_right_after_its_last_answer_has_sent_everything(name, outcomes):
    answers, log, _, _, spans = outcomes[name]
    assert len(spans) == len(answers) == TIMES + 1, log


@pytest.mark.parametrize("name", CASES)
def test_each_worker_is_an_instance_of_its_own(name, outcomes):
    answers, _, _, _, spans = outcomes[name]
    assert {str(span.resource.attributes["process.pid"]) for span in spans} == set(answers)
    assert len({span.resource.attributes["service.instance.id"] for span in spans}) == len(set(answers))


@pytest.mark.parametrize("name", CASES)
def test_no_worker_has_the_ids_of_another(name, outcomes):
    *_, spans = outcomes[name]
    assert len({span.span_id for span in spans}) == len({span.trace_id for span in spans}) == len(spans)


@pytest.mark.parametrize("name", CASES)
def test_a_server_ends_as_soon_as_ever_and_says_nothing_of_telemetry(name, outcomes):
    _, log, _, seconds, _ = outcomes[name]
    assert seconds < 20
    assert "mmtrace" not in log
    assert "Warning" not in log
