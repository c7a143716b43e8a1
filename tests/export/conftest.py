"""Real receivers: an HTTP server and a gRPC server that answer as a test says, and certificates for both."""

import contextlib
import gzip
import http.server
import socket
import ssl
import subprocess
import threading
import zlib
from concurrent import futures

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

DECODE = {None: bytes, "gzip": gzip.decompress, "deflate": zlib.decompress}


class Request:
    def __init__(self, path, headers, body):
        self.path = path
        self.headers = headers
        self.body = body


class HttpReceiver(http.server.ThreadingHTTPServer):
    """`answers` are (status, headers, body) and come first; 200 with an empty protobuf message after them."""

    daemon_threads = True

    def __init__(self, port=0):
        super().__init__(("127.0.0.1", port), Handler)
        self.requests, self.answers, self.connections, self.delay = [], [], [], 0.0
        self.scheme = "http"

    @property
    def url(self):
        return f"{self.scheme}://localhost:{self.server_port}"

    def answer(self, status, body=b"", **headers):
        self.answers.append((status, {key.replace("_", "-"): value for key, value in headers.items()}, body))

    def server_close(self):
        super().server_close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request, client_address):
        """A client that does not trust the certificate goes away; that is its right."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5

    def setup(self):
        super().setup()
        self.server.connections.append(self.connection)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        decode = DECODE[self.headers.get("Content-Encoding")]
        self.server.requests.append(Request(self.path, self.headers, decode(body)))
        threading.Event().wait(self.server.delay)
        given = self.server.answers.pop(0) if self.server.answers else (200, {}, b"")
        status, headers, answer = given
        self.send_response(status)
        for key, value in {"Content-Type": "application/x-protobuf", **headers}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def http_receiver():
    with serving(HttpReceiver()) as server:
        yield server


@pytest.fixture
def http_receiver_on():
    """Runs an HTTP receiver on a port for as long as a block."""
    return lambda port: serving(HttpReceiver(port))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """A certificate for localhost that signed itself, and its key: files in PEM."""
    folder = tmp_path_factory.mktemp("certificates")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout {key} -out {certificate}"
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    subprocess.run([*command.split(), "-addext", names], check=True, capture_output=True)
    return str(certificate), str(key)


@pytest.fixture
def https_receiver(certificates):
    """An HTTPS server that asks for a client certificate where `https_receiver.strict()` was called."""
    server = HttpReceiver()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates)
    context.load_verify_locations(certificates[0])
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.scheme = "https"
    server.strict = lambda: setattr(context, "verify_mode", ssl.CERT_REQUIRED)
    with serving(server):
        yield server


class GrpcReceiver:
    """`answers` come first: a response, or a function of the servicer context that aborts."""

    def __init__(self, credentials=None, services=("traces", "metrics", "logs"), **options):
        self.requests, self.metadata, self.answers, self.codings = [], [], [], []
        self.pool = futures.ThreadPoolExecutor(2)
        self.server = grpc.server(self.pool, options=list(options.items()))
        for name in services:
            self._serve(name)
        add = self.server.add_secure_port if credentials else self.server.add_insecure_port
        self.port = add("127.0.0.1:0", *([credentials] if credentials else []))
        self.server.start()

    def _serve(self, name):
        messages, stubs, kind = {
            "traces": (trace_service_pb2, trace_service_pb2_grpc, "Trace"),
            "metrics": (metrics_service_pb2, metrics_service_pb2_grpc, "Metrics"),
            "logs": (logs_service_pb2, logs_service_pb2_grpc, "Logs"),
        }[name]
        response = getattr(messages, f"Export{kind}ServiceResponse")
        servicer = getattr(stubs, f"{kind}ServiceServicer")()
        servicer.Export = lambda request, context: self._answer(request, context) or response()
        getattr(stubs, f"add_{kind}ServiceServicer_to_server")(servicer, self.server)

    def _answer(self, request, context):
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        given = self.answers.pop(0) if self.answers else None
        return given(context) if callable(given) else given

    def abort(self, code, details="", trailing=()):
        def answer(context):
            context.set_trailing_metadata(trailing)
            context.abort(code, details)

        self.answers.append(answer)


@pytest.fixture
def grpc_receiver():
    """Starts gRPC receivers that end with the test."""
    started = []

    def start(*arguments, **options):
        started.append(GrpcReceiver(*arguments, **options))
        return started[-1]

    yield start
    for each in started:
        each.server.stop(0).wait()
        each.pool.shutdown()


@pytest.fixture
def opened():
    """Closes exporters when the test ends."""
    exporters = []

    def keep(exporter):
        exporters.append(exporter)
        return exporter

    yield keep
    for each in exporters:
        each.close()
