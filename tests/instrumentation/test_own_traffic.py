"""What mmtrace sends and receives for itself is not traced: it would never end."""

import urllib.request

import grpc
import httpx
import pytest

from mmtrace.server.running import LocalServer, ServerOptions

_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@pytest.fixture
def server(instrument):
    instrument("starlette", "fastapi", "grpc")
    with LocalServer(ServerOptions(port=0, grpc_port=0)) as server:
        yield server


def test_the_viewer_does_not_trace_what_it_receives_and_shows(server, spans):
    for path in ("/v1/traces", "/v1/metrics"):
        request = urllib.request.Request(server.url + path, b"", {"content-type": "application/x-protobuf"})
        assert urllib.request.urlopen(request).status == 200
    assert httpx.get(server.url).status_code == 200


def test_the_viewer_does_not_trace_what_it_receives_by_grpc(server, spans):
    with grpc.insecure_channel(server.grpc_url.removeprefix("http://")) as channel:
        channel.unary_unary(_EXPORT)(b"")
    client = spans.one()
    assert client.attributes["rpc.method"] == _EXPORT.lstrip("/")
    assert client.kind.name == "CLIENT"
