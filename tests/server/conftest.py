"""A real server on free ports, and requests to send to it."""

import contextlib
import itertools
import os
import re
import subprocess
import sys
import time

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from mmtrace.server.running import LocalServer, ServerOptions
from mmtrace.server.storage.batch import batch_of_traces
from mmtrace.server.store import Store

PROTOBUF = {"Content-Type": "application/x-protobuf"}
_numbers = itertools.count(1)


@pytest.fixture
def start():
    """Return what starts a server with options; all are stopped at the end."""
    started = []

    def start(**options):
        server = LocalServer(ServerOptions(port=0, grpc_port=0, **options))
        server.__enter__()
        started.append(server)
        return server

    yield start
    for server in started:
        server.__exit__(None, None, None)


@pytest.fixture
def server(start):
    return start()


@pytest.fixture
def client(server):
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def serve_process():
    """Return what runs `mmtrace serve` in a process and gives (process, address); it is stopped at the end."""

    @contextlib.contextmanager
    def serve(*options):
        command = [sys.executable, "-m", "mmtrace", "serve", "--port", "0", "--grpc-port", "0", *options]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
        try:
            url = re.search(r"http://[^/\s]+", process.stdout.readline())[0]
            yield process, url
        finally:
            process.terminate()
            process.communicate(timeout=300)

    return serve


@pytest.fixture
def store():
    with Store() as store:
        yield store


def key_value(key, value):
    kinds = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value", bytes: "bytes_value"}
    return KeyValue(key=key, value=AnyValue(**{kinds[type(value)]: value}))


def make_span(
    name="work", *, trace_id=None, parent=None, start=None, duration=0.01, error=False, links=(), **attributes
):
    """Return a message; ids count up from one."""
    number = next(_numbers)
    start = time.time_ns() if start is None else start
    return Span(
        name=name,
        trace_id=trace_id or number.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        parent_span_id=parent or b"",
        start_time_unix_nano=start,
        end_time_unix_nano=start + round(duration * 1e9),
        kind=Span.SPAN_KIND_INTERNAL,
        status={"code": 2} if error else {},
        links=[Span.Link(trace_id=to.trace_id, span_id=to.span_id) for to in links],
        attributes=[key_value(key.replace("__", "."), value) for key, value in attributes.items()],
    )


def make_request(*spans, service="shop", **resource):
    """Return a request that holds spans of one service."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.append(key_value("service.name", service))
    group.resource.attributes.extend(key_value(key.replace("__", "."), value) for key, value in resource.items())
    group.scope_spans.add().spans.extend(spans)
    return request


def put(store, *spans, service="shop", **resource):
    request = make_request(*spans, service=service, **resource)
    assert store.add(batch_of_traces(request, request.ByteSize()))


@pytest.fixture(scope="session")
def kit():
    """The helpers of this file."""

    class Kit:
        span = staticmethod(make_span)
        request = staticmethod(make_request)
        put = staticmethod(put)
        key_value = staticmethod(key_value)
        protobuf = PROTOBUF

        @staticmethod
        def number(span):
            return int.from_bytes(span.trace_id, "big")

        @staticmethod
        def send(client, *spans, **resource):
            body = make_request(*spans, **resource).SerializeToString()
            return client.post("/v1/traces", content=body, headers=PROTOBUF)

    return Kit
