"""What a scraper gets, over real sockets, read by the parsers that `prometheus-client` brings."""

import asyncio
import gzip
import http.client
import os
import socket
import threading
import urllib.request
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource as SdkResource
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from mmtrace.errors import ConfigurationError
from mmtrace.export.prometheus import PrometheusServer
from mmtrace.export.prometheus_page import asgi_app, wsgi_app
from mmtrace.metrics import ModelMetrics
from mmtrace.metrics.reader import OnDemandReader
from mmtrace.metrics.snapshot import Snapshots
from mmtrace.spans import Resource
from ports import free_port

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture
def snapshots():
    metrics = ModelMetrics()
    series = metrics.series("reranker", task="rerank")
    series.begin()
    series.end("ok", "", 0.5, trace_id=0xAB, span_id=0xCD, input_tokens=7)
    return Snapshots(metrics, resource=lambda: Resource({"service.name": "shop", "k8s.pod.name": "shop-1"}))


@pytest.fixture
def serve():
    """Start a server on a free port of 127.0.0.1."""
    servers = []

    def start(source, host="127.0.0.1", port=0):
        servers.append(PrometheusServer(source, host, port))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def get(server, accept="", **headers):
    request = urllib.request.Request(
        f"http://{server.host}:{server.port}/metrics", headers={"Accept": accept, **headers}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return response, response.read()


def samples(families):
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample for family in families for sample in family.samples
    }


CALL = (("model", "reranker"), ("outcome", "ok"), ("task", "rerank"))


def test_a_scrape_gets_text_that_prometheus_reads(serve, snapshots):
    response, body = get(serve(snapshots))
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = samples(parse_text(body.decode()))
    assert found["mmtrace_model_call_duration_seconds_sum", CALL].value == 0.5
    assert found["mmtrace_model_call_duration_seconds_bucket", (("le", "0.25"), *CALL)].value == 0
    assert found["mmtrace_model_call_duration_seconds_bucket", (("le", "0.5"), *CALL)].value == 1
    assert found["mmtrace_model_tokens_total", (("direction", "input"), *CALL[:1], *CALL[2:])].value == 7


def test_openmetrics_has_exemplars_that_point_at_spans(serve, snapshots):
    response, body = get(serve(snapshots), OPENMETRICS)
    assert response.headers["Content-Type"].startswith(OPENMETRICS)
    found = samples(parse_openmetrics(body.decode()))
    exemplar = found["mmtrace_model_call_duration_seconds_bucket", (("le", "0.5"), *CALL)].exemplar
    assert exemplar.labels == {"trace_id": f"{0xAB:032x}", "span_id": f"{0xCD:016x}"}
    assert exemplar.value == 0.5
    assert found["mmtrace_model_call_duration_seconds_bucket", (("le", "1.0"), *CALL)].exemplar is None


def test_the_resource_is_told_once_and_job_and_instance_are_left_to_the_scraper(serve, snapshots):
    _, body = get(serve(snapshots), OPENMETRICS)
    found = samples(parse_openmetrics(body.decode()))
    assert ("target_info", (("k8s_pod_name", "shop-1"), ("service_name", "shop"))) in found
    assert not any({"job", "instance"} & sample.labels.keys() for sample in found.values())


def test_a_scraper_that_takes_gzip_gets_it(serve, snapshots):
    server = serve(snapshots)
    response, body = get(server, **{"Accept-Encoding": "gzip"})
    assert response.headers["Content-Encoding"] == "gzip"
    assert (
        samples(parse_text(gzip.decompress(body).decode())).keys()
        == samples(parse_text(get(server)[1].decode())).keys()
    )


@pytest.mark.parametrize(
    "accept",
    ["", "*/*", "text/html", "application/openmetrics-text; version=banana", "text/plain; version=;q=x", ";,;"],
)
def test_any_accept_header_gets_an_answer(serve, snapshots, accept):
    response, body = get(serve(snapshots), accept)
    assert response.status == 200
    assert b"mmtrace_model_call_duration_seconds_count" in body


def test_instruments_of_the_application_are_on_the_same_page(serve):
    reader = OnDemandReader()
    provider = MeterProvider([reader], resource=SdkResource({"service.name": "shop"}))
    provider.get_meter("shop", "1.0").create_counter("orders", "{order}", "Orders taken").add(3, {"kind": "a"})
    source = Snapshots(ModelMetrics(), reader, resource=lambda: Resource({"service.name": "shop"}))
    _, body = get(serve(source), OPENMETRICS)
    provider.shutdown()
    labels = (("kind", "a"), ("otel_scope_name", "shop"), ("otel_scope_version", "1.0"))
    assert samples(parse_openmetrics(body.decode()))["orders_total", labels].value == 3


def test_head_gets_headers_only_and_other_methods_are_refused(serve, snapshots):
    server = serve(snapshots)
    connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
    connection.request("HEAD", "/metrics")
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b"")
    assert int(response.headers["Content-Length"]) > 0
    connection.close()
    connection.request("POST", "/metrics", b"x")
    assert connection.getresponse().status == 501
    connection.close()


def test_a_client_that_hangs_keeps_no_other_waiting(serve, snapshots):
    server = serve(snapshots)
    with socket.create_connection((server.host, server.port)) as hanging:
        hanging.sendall(b"GET /metr")
        assert get(server)[0].status == 200


def test_a_client_that_goes_away_says_nothing_on_standard_error(serve, snapshots, capfd):
    server = serve(snapshots)
    for _ in range(3):
        with socket.create_connection((server.host, server.port)) as gone:
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            gone.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
    get(server)
    server.close()
    assert capfd.readouterr() == ("", "")


def test_a_closed_server_leaves_no_thread_and_no_socket(snapshots):
    before = threading.enumerate()
    server = PrometheusServer(snapshots, "127.0.0.1", free_port())
    assert get(server)[0].status == 200
    server.close()
    server.close()
    assert threading.enumerate() == before
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((server.host, server.port), timeout=5)
    again = PrometheusServer(snapshots, "127.0.0.1", server.port)
    again.close()


def test_a_port_in_use_names_the_option_that_changes_it(serve, snapshots):
    server = serve(snapshots)
    with pytest.raises(ConfigurationError, match=rf"port {server.port} .*OTEL_EXPORTER_PROMETHEUS_PORT"):
        PrometheusServer(snapshots, "127.0.0.1", server.port)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "256.1.1.1", "a" * 70 + ".example"])
def test_a_host_that_does_not_exist_names_the_option_that_changes_it(snapshots, host):
    with pytest.raises(ConfigurationError, match="OTEL_EXPORTER_PROMETHEUS_HOST"):
        PrometheusServer(snapshots, host, 0)


@pytest.mark.parametrize("port", [-1, 70000])
def test_a_port_that_does_not_exist_names_the_option_that_changes_it(snapshots, port):
    with pytest.raises(ConfigurationError, match="OTEL_EXPORTER_PROMETHEUS_PORT"):
        PrometheusServer(snapshots, "127.0.0.1", port)


def test_localhost_is_the_address_that_most_scrapers_try(serve, snapshots):
    assert serve(snapshots, "localhost").host == "127.0.0.1"


def test_a_forked_child_lets_go_of_the_port(snapshots):
    server = PrometheusServer(snapshots, "127.0.0.1", free_port())
    alive, is_alive = os.pipe()
    may_end, end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(end)
        os.write(is_alive, b"!")
        os.read(may_end, 1)
        server.close()
        os._exit(0)
    os.read(alive, 1)
    server.close()
    try:
        PrometheusServer(snapshots, "127.0.0.1", server.port).close()
    finally:
        os.close(end)
        assert os.waitpid(pid, 0)[1] == 0
        for descriptor in (alive, is_alive, may_end):
            os.close(descriptor)


def test_the_wsgi_application_answers_as_the_server_does(serve, snapshots):
    environ = {"HTTP_ACCEPT": OPENMETRICS, "QUERY_STRING": ""}
    setup_testing_defaults(environ)
    started = []
    result = validator(wsgi_app(lambda: snapshots))(
        environ, lambda status, headers: started.append((status, dict(headers)))
    )
    body = b"".join(result)
    result.close()
    ((status, headers),) = started
    assert status == "200 OK"
    assert headers["Content-Length"] == str(len(body))
    assert samples(parse_openmetrics(body.decode())) == samples(
        parse_openmetrics(get(serve(snapshots), OPENMETRICS)[1].decode())
    )


def test_the_wsgi_application_refuses_to_write(snapshots):
    environ = {"REQUEST_METHOD": "DELETE"}
    setup_testing_defaults(environ)
    started = []
    assert b"".join(wsgi_app(lambda: snapshots)(environ, lambda *given: started.append(given))) == b""
    assert started == [("405 Method Not Allowed", [("Allow", "GET, HEAD"), ("Content-Length", "0")])]


async def ask(app, method="GET", headers=()):
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request"}

    await app({"type": "http", "method": method, "path": "/", "headers": list(headers)}, receive, send)
    start, body = sent
    return start["status"], dict(start["headers"]), body["body"]


def test_the_asgi_application_answers_as_the_server_does(serve, snapshots):
    async def main():
        status, headers, body = await ask(asgi_app(lambda: snapshots), headers=[(b"accept", OPENMETRICS.encode())])
        await asyncio.get_running_loop().shutdown_default_executor()
        return status, headers, body

    status, headers, body = asyncio.run(main())
    assert status == 200
    assert headers[b"content-length"] == str(len(body)).encode()
    assert samples(parse_openmetrics(body.decode())) == samples(
        parse_openmetrics(get(serve(snapshots), OPENMETRICS)[1].decode())
    )


async def test_the_asgi_application_refuses_to_write(snapshots):
    assert (await ask(asgi_app(lambda: snapshots), "DELETE"))[0] == 405


async def test_the_asgi_application_may_be_the_only_one_of_a_server(snapshots):
    asked = iter(["lifespan.startup", "lifespan.shutdown"])
    answered = []

    async def receive():
        return {"type": next(asked)}

    async def send(message):
        answered.append(message["type"])

    await asgi_app(lambda: snapshots)({"type": "lifespan"}, receive, send)
    assert answered == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
