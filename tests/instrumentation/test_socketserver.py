import signal
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from mmtrace.testing import InstrumentationCases, instrumented
from mmtrace_instrumentation.socketserver import instrumentation


def served():
    """Serve until another thread says that it is enough; return what handled SIGTERM meanwhile."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        handlers = []

        def stop():
            handlers.append(signal.getsignal(signal.SIGTERM))
            server.shutdown()

        thread = threading.Thread(target=stop)
        server.service_actions = lambda: thread.ident or thread.start()
        server.serve_forever(poll_interval=0.01)
        thread.join()
    return handlers[0]


class TestKit(InstrumentationCases):
    instrumentation = instrumentation

    def use(self):
        return served() is not None


def test_the_handler_of_a_program_stays():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with instrumented(instrumentation):
            assert served() is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_default_is_back_when_nobody_waits():
    with instrumented(instrumentation):
        assert served() is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_server_in_another_thread_is_left_alone():
    found = []
    with instrumented(instrumentation):
        thread = threading.Thread(target=lambda: found.append(served()))
        thread.start()
        thread.join()
    assert found == [signal.SIG_DFL]
