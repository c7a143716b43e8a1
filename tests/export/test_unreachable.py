"""Wrong ports, protocols, proxies and certificates over HTTP: the message names the likely mistake."""

import http.server
import socket
import threading

import pytest

from mmtrace.export.otlp_http import OtlpHttp
from mmtrace.export.target import Target
from mmtrace.transport import ACCEPTED, Signal
from rude import Rude, read_request


@pytest.fixture
def send(opened):
    def send(url, path="/v1/traces", **options):
        made = opened(OtlpHttp({Signal.TRACES: Target(url + path, **options)}))
        return made.export(Signal.TRACES, b"", 1, 5)

    return send


def test_tls_to_a_port_without_tls_says_so(http_receiver, send):
    outcome = send(http_receiver.url.replace("http:", "https:"))
    assert outcome.kind == "retry"
    assert "it speaks no TLS. Set the endpoint to http://" in outcome.message


def test_no_tls_to_a_port_with_tls_says_so(send):
    with Rude(lambda connection: connection.sendall(b"\x15\x03\x03\x00\x02\x02\x0a")) as receiver:
        outcome = send(receiver.url)
    assert outcome.kind == "retry"
    assert "it speaks TLS. Set the endpoint to https://" in outcome.message


def test_a_server_that_explains_its_tls_in_plain_text_is_understood(http_receiver, send):
    http_receiver.answer(400, b"Client sent an HTTP request to an HTTPS server.\n", Content_Type="text/plain")
    assert "Set the endpoint to https://" in send(http_receiver.url).message


def test_a_missing_client_certificate_names_its_variables(https_receiver, certificates, send):
    https_receiver.strict()
    assert "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE" in send(https_receiver.url, certificate=certificates[0]).message


def test_a_web_page_is_no_success(http_receiver, send):
    http_receiver.answer(200, b"\n<!DOCTYPE html><title>Jaeger UI</title>", Content_Type="text/html")
    outcome = send(http_receiver.url)
    assert outcome.kind == "rejected"
    assert "a web page" in outcome.message


def test_a_web_page_under_a_wrong_path_names_the_path(http_receiver, send):
    http_receiver.answer(200, b"<html></html>", Content_Type="text/html")
    assert "/v1/traces" in send(http_receiver.url, path="/").message


def test_an_empty_success_of_any_type_is_a_success(http_receiver, send):
    http_receiver.answer(200, b"", Content_Type="text/html; charset=utf-8")
    assert send(http_receiver.url) == ACCEPTED


def test_a_wrong_path_is_named_where_the_method_is_refused_too(http_receiver, send):
    http_receiver.answer(405)
    assert "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" in send(http_receiver.url, path="/api").message


@pytest.mark.parametrize(("port", "known_for"), [(14250, "Jaeger's old protocol"), (16686, "the pages of Jaeger")])
def test_a_port_that_is_known_for_something_else_is_named(send, port, known_for):
    """Nobody need listen there: the message is made of the address."""
    message = send(f"http://127.0.0.9:{port}").message
    assert known_for in message
    assert "OTLP over HTTP (OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf) has port 4318" in message


# --- redirects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_within_the_host_is_followed_with_body_and_headers(http_receiver, send, status):
    http_receiver.answer(status, Location="/otlp/v1/traces/")
    assert send(http_receiver.url, headers={"x-api-key": "secret"}) == ACCEPTED
    assert [request.path for request in http_receiver.requests] == ["/v1/traces", "/otlp/v1/traces/"]
    assert http_receiver.requests[1].headers["x-api-key"] == "secret"


def test_a_redirect_from_http_to_https_of_the_same_host_is_followed(http_receiver, https_receiver, certificates, send):
    http_receiver.answer(308, Location=f"{https_receiver.url}/v1/traces")
    assert send(http_receiver.url, certificate=certificates[0]) == ACCEPTED
    assert len(https_receiver.requests) == 1


@pytest.mark.parametrize(
    ("status", "location"),
    [
        (307, "http://127.0.0.1:1/v1/traces"),
        (308, "ftp://localhost/"),
        (301, "/elsewhere"),
        (302, "/login"),
        (303, "/login"),
        (307, ""),
    ],
)
def test_no_other_redirect_is_followed(http_receiver, send, status, location):
    http_receiver.answer(status, Location=location)
    outcome = send(http_receiver.url)
    assert (outcome.kind, len(http_receiver.requests)) == ("rejected", 1)
    assert location in outcome.message


def test_no_redirect_leads_away_from_tls(http_receiver, https_receiver, certificates, send):
    https_receiver.answer(307, Location=f"{http_receiver.url}/v1/traces")
    assert send(https_receiver.url, certificate=certificates[0]).kind == "rejected"
    assert http_receiver.requests == []


def test_redirects_in_a_circle_end(http_receiver, send):
    for number in range(20):
        http_receiver.answer(307, Location=f"/{number}")
    assert send(http_receiver.url).kind == "rejected"
    assert len(http_receiver.requests) == 4


# --- proxies ----------------------------------------------------------------------------------------------------------


class Proxy(http.server.BaseHTTPRequestHandler):
    """Connects to any port of the loopback address, or refuses with the status of the server."""

    def do_CONNECT(self):
        self.server.asked.append((self.path, self.headers["Proxy-Authorization"]))
        if self.server.refuses:
            return self.send_error(self.server.refuses)
        self.send_response(200)
        self.end_headers()
        with socket.create_connection(("127.0.0.1", int(self.path.rpartition(":")[2]))) as far:
            back = threading.Thread(target=pass_on, args=(far, self.connection))
            back.start()
            pass_on(self.connection, far)
            back.join()

    def log_message(self, *_):
        pass


def pass_on(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture
def proxy():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.asked, server.refuses = [], None
    server.url = f"http://me:hush@127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_tls_goes_through_a_proxy_from_end_to_end(https_receiver, certificates, proxy, opened):
    target = Target(f"{https_receiver.url}/v1/traces", certificate=certificates[0], proxy=proxy.url)
    made = opened(OtlpHttp({Signal.TRACES: target}))
    assert made.export(Signal.TRACES, b"", 1, 5) == ACCEPTED
    assert proxy.asked == [(f"localhost:{https_receiver.server_port}", "Basic bWU6aHVzaA==")]
    made.close()


def test_a_certificate_for_another_name_says_so(https_receiver, certificates, proxy, send):
    """The proxy leads every name to this machine."""
    url = https_receiver.url.replace("localhost", "collector.test")
    assert "for another name" in send(url, certificate=certificates[0], proxy=proxy.url).message


@pytest.mark.parametrize(
    ("status", "meaning"), [(407, "the proxy asks for user and password"), (403, "the proxy refuses to connect")]
)
def test_a_proxy_that_refuses_is_understood(proxy, send, status, meaning):
    proxy.refuses = status
    message = send("https://localhost:4318", proxy=proxy.url).message
    assert meaning in message
    assert "hush" not in message


def test_a_proxy_that_asks_for_a_password_in_plain_text_is_understood(http_receiver, send):
    http_receiver.answer(407)
    message = send("http://collector.invalid:4318", proxy=http_receiver.url).message
    assert "go into the address of the proxy" in message


# --- addresses --------------------------------------------------------------------------------------------------------


def test_a_receiver_on_ipv6_is_reached(send):
    try:
        listening = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")

    def answer():
        connection, _ = listening.accept()
        with connection:
            read_request(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    thread = threading.Thread(target=answer)
    with listening:
        thread.start()
        assert send(f"http://[::1]:{listening.getsockname()[1]}") == ACCEPTED
        thread.join()
