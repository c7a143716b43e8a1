"""Wrong set-ups, each against a real server, and the mistake that the doctor names."""

import contextlib
import http.server
import json
import threading
from pathlib import Path

import grpc
import pytest

from mmtrace import cli
from mmtrace.doctor import destinations
from mmtrace.doctor.network import in_container
from mmtrace.server.running import LocalServer, ServerOptions
from rude import Rude, read_request


def has(found, level, *words):
    """Whether there is a finding of this level with all words."""
    return any(of == level and all(word in text for word in words) for of, text in found)


@contextlib.contextmanager
def served(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def viewer():
    """A real `mmtrace serve` in a thread."""
    with LocalServer(ServerOptions(port=0, grpc_port=0)) as server:
        yield server


def test_all_is_well_with_mmtrace_serve(viewer, doctor):
    code, said = doctor("--endpoint", viewer.url)
    assert code == 0
    assert "ok traces: the probe was accepted" in said
    assert "ok the probe was read back" in said
    assert said.endswith("No problem was found.")
    (span,) = viewer.store.spans(0, 1 << 62, limit=10)
    assert (span.name, span.service) == ("mmtrace doctor", "shop")
    assert f"{viewer.url}/trace/{span.trace_id:032x}" in said


def test_all_is_well_over_grpc(viewer, findings):
    found = findings("--protocol", "grpc", "--endpoint", viewer.grpc_url, "--query", viewer.url)
    assert has(found, "ok", "traces: the probe was accepted")
    assert has(found, "ok", "the probe was read back")
    assert not has(found, "problem")


def test_nobody_listens(findings, unused_port):
    found = findings("--endpoint", f"http://127.0.0.1:{unused_port}")
    assert has(found, "problem", "nobody listens there", "mmtrace serve")
    assert has(found, "note", "metrics, logs: not tried")


def test_inside_a_container_localhost_is_the_container(findings, unused_port, monkeypatch):
    monkeypatch.setattr(destinations, "in_container", lambda: True)
    found = findings("--endpoint", f"http://localhost:{unused_port}")
    assert has(found, "note", "inside a container, localhost is the container itself", "host.docker.internal")


def test_a_receiver_that_listens_on_localhost_only(http_receiver, findings):
    """127.0.0.2 is another address of this machine, as the one of its network card is."""
    found = findings("--endpoint", f"http://127.0.0.2:{http_receiver.server_port}")
    assert has(found, "problem", "cannot be reached")
    assert has(found, "note", "on 127.0.0.1 only", "0.0.0.0")


def test_the_host_is_unknown(findings):
    assert has(findings("--endpoint", "http://collector.invalid:4318"), "problem", "its host name is unknown")


def test_the_host_is_unknown_over_grpc(findings):
    found = findings("--protocol", "grpc", "--endpoint", "http://collector.invalid:4317")
    assert has(found, "problem", "collector.invalid")
    assert has(found, "note", "no name server knows collector.invalid")


def test_http_on_the_port_of_grpc(grpc_receiver, findings):
    found = findings("--endpoint", f"http://127.0.0.1:{grpc_receiver().port}")
    assert has(found, "problem", "it speaks HTTP/2, as OTLP over gRPC does", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc")


def test_grpc_on_the_port_of_http(http_receiver, findings):
    found = findings("--protocol", "grpc", "--endpoint", f"http://127.0.0.1:{http_receiver.server_port}")
    assert has(found, "problem", "4317 as a rule", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf")


def test_the_path_is_missing(http_receiver, findings):
    http_receiver.answer(404)
    found = findings(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http_receiver.url, OTEL_METRICS_EXPORTER="none")
    assert has(found, "problem", "OTLP is received under /v1/traces")


def test_tls_against_plain_text(http_receiver, findings):
    found = findings("--endpoint", http_receiver.url.replace("http:", "https:"))
    assert has(found, "problem", "it speaks no TLS", "http://")


def test_plain_text_against_tls(https_receiver, findings):
    found = findings("--endpoint", https_receiver.url.replace("https:", "http:"))
    assert has(found, "problem", "cannot be reached")
    assert has(found, "note", "speaks TLS", "https://")


@pytest.fixture
def secure_grpc(grpc_receiver, certificates):
    certificate, key = (Path(file).read_bytes() for file in certificates)
    return grpc_receiver(grpc.ssl_server_credentials([(key, certificate)]))


def test_tls_against_plain_text_over_grpc(grpc_receiver, findings):
    found = findings("--protocol", "grpc", "--endpoint", f"https://localhost:{grpc_receiver().port}")
    assert has(found, "note", "speaks no TLS", "http://")


def test_plain_text_against_tls_over_grpc(secure_grpc, findings):
    found = findings("--protocol", "grpc", "--endpoint", f"http://localhost:{secure_grpc.port}")
    assert has(found, "note", "speaks TLS", "https://")


def test_a_certificate_that_is_not_trusted(https_receiver, findings):
    found = findings("--endpoint", https_receiver.url)
    assert has(found, "problem", "OTEL_EXPORTER_OTLP_CERTIFICATE names the certificate to trust")


def test_a_certificate_that_is_not_trusted_over_grpc(secure_grpc, findings):
    found = findings("--protocol", "grpc", "--endpoint", f"https://localhost:{secure_grpc.port}")
    assert has(found, "note", "its certificate is not trusted: self-signed", "OTEL_EXPORTER_OTLP_CERTIFICATE")


def test_a_certificate_that_is_trusted(secure_grpc, certificates, findings):
    found = findings(
        *("--protocol", "grpc", "--endpoint", f"https://localhost:{secure_grpc.port}"), "--certificate", certificates[0]
    )
    assert has(found, "ok", "traces: the probe was accepted")


@pytest.mark.parametrize("status", [401, 403])
def test_credentials_are_missing(http_receiver, findings, status):
    http_receiver.answer(status)
    assert has(findings("--endpoint", http_receiver.url), "problem", str(status), "OTEL_EXPORTER_OTLP_HEADERS")


def test_a_proxy_is_in_the_way(http_receiver, findings, unused_port):
    found = findings("--endpoint", http_receiver.url, http_proxy=f"http://me:hush@127.0.0.1:{unused_port}")
    assert has(found, "problem", "the proxy does not answer", "NO_PROXY")
    assert has(found, "note", "requests go through the proxy")
    assert "hush" not in str(found)


class Page(http.server.BaseHTTPRequestHandler):
    """Answers everything with its start page, as Jaeger's and Grafana's pages do."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><html></html>")

    do_GET = do_POST

    def log_message(self, *_):
        pass


def test_the_port_of_a_web_page(findings):
    with served(Page) as url:
        assert has(findings("--endpoint", url), "problem", "answered with a web page")


def test_a_receiver_that_never_answers(findings):
    with Rude(lambda connection: read_request(connection) and threading.Event().wait(2)) as silent:
        found = findings("--endpoint", silent.url, "--limit", "0.5")
    assert has(found, "problem", "no answer within 0.5 seconds")


class Backend(http.server.BaseHTTPRequestHandler):
    """Takes everything, answers queries for traces with none, and has the time of another day."""

    days = 0

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, b"", "application/x-protobuf")

    def do_GET(self):
        if self.path == "/api/v3/services":
            return self._answer(200, json.dumps({"services": ["shop"]}).encode(), "application/json")
        self._answer(404, b"{}", "application/json")

    def _answer(self, status, body, kind):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp=None):
        return super().date_time_string((timestamp or __import__("time").time()) + self.days * 86_400)

    def log_message(self, *_):
        pass


class Ahead(Backend):
    days = 1


class Behind(Backend):
    days = -1


@pytest.mark.parametrize(("backend", "way"), [(Ahead, "ahead of"), (Behind, "behind")])
def test_clocks_that_differ(findings, backend, way):
    with served(backend) as url:
        assert has(findings("--endpoint", url), "problem", "at least 86", f"s {way}", "NTP")


def test_a_probe_that_was_accepted_and_did_not_arrive(findings):
    with served(Backend) as url:
        found = findings("--endpoint", url)
    assert has(found, "problem", "accepted, but", "does not have it", "--wait")
    assert has(found, "ok", "clock")


def test_a_receiver_that_answers_no_queries_is_no_problem(http_receiver, findings):
    found = findings("--endpoint", http_receiver.url)
    assert has(found, "note", "cannot be asked", "--query")
    assert not has(found, "problem")


def test_a_receiver_that_takes_traces_only_is_no_problem(http_receiver, findings):
    http_receiver.answer(200)
    http_receiver.answer(404)
    http_receiver.answer(404)
    found = findings("--endpoint", http_receiver.url)
    assert has(found, "note", "metrics", "does not receive metrics", "OTEL_METRICS_EXPORTER=none")
    assert not has(found, "problem")


def test_a_query_address_that_answers_none(http_receiver, findings, unused_port):
    found = findings("--endpoint", http_receiver.url, "--query", f"http://127.0.0.1:{unused_port}")
    assert has(found, "problem", "answers no queries")


@pytest.mark.parametrize("file", [".dockerenv", "run/.containerenv"])
def test_a_container_is_known_by_what_its_engine_leaves_there(tmp_path, file):
    assert not in_container(tmp_path)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    assert in_container(tmp_path)


@pytest.mark.parametrize("option", ["--wait", "--limit"])
def test_a_wait_that_is_no_time_is_wrong_usage(capsys, option):
    assert cli.main(["doctor", option, "-1"]) == 2
    assert "it must be a number above zero, not '-1'" in capsys.readouterr().err
