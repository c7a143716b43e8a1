"""A receiver that keeps what it is sent: OTLP over HTTP and gRPC, independent of the package's own server."""

import gzip
import os
import threading
from collections import Counter
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces

from mmtrace.otlp.decode import decode_traces

_REQUESTS = {
    "/v1/traces": traces.ExportTraceServiceRequest,
    "/v1/metrics": metrics.ExportMetricsServiceRequest,
    "/v1/logs": logs.ExportLogsServiceRequest,
}
_METHODS = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "/v1/traces",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": "/v1/metrics",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "/v1/logs",
}


class Receiver:
    """Collects bodies by path; read them when the sender has ended."""

    def __init__(self, port=0):
        self.bodies = {path: [] for path in _REQUESTS}
        self._http = _Server(self, port)
        self._pool = futures.ThreadPoolExecutor(2)
        self._grpc = grpc.server(self._pool)
        self._grpc.add_generic_rpc_handlers((_Handlers(self),))
        self.grpc_url = f"http://127.0.0.1:{self._grpc.add_insecure_port('127.0.0.1:0')}"
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self._grpc.start()
        return self

    def __exit__(self, *error):
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
        self._grpc.stop(None).wait()
        self._pool.shutdown()

    def accept(self, path, body, headers):
        """Return the status that a body gets over HTTP; what is accepted is kept."""
        return 200

    @property
    def environment(self):
        return {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": self.url}

    def requests(self, path):
        return [_REQUESTS[path].FromString(body) for body in self.bodies[path]]

    def spans(self):
        return [span for body in self.bodies["/v1/traces"] for span in decode_traces(body)]

    def span_names(self, service):
        """Return how often a span of each name has come from a service, also where there are very many."""
        return Counter(
            span.name
            for request in self.requests("/v1/traces")
            for resource in request.resource_spans
            if any(
                (pair.key, pair.value.string_value) == ("service.name", service)
                for pair in resource.resource.attributes
            )
            for scope in resource.scope_spans
            for span in scope.spans
        )

    def metrics(self):
        """Yield (process, metric) of every request, in the order of arrival."""
        for request in self.requests("/v1/metrics"):
            for resource in request.resource_metrics:
                process = frozenset((pair.key, str(pair.value)) for pair in resource.resource.attributes)
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        yield process, metric

    def metric_names(self):
        return {metric.name for _, metric in self.metrics()}

    def histogram(self, name):
        """Return the counts of a cumulative histogram by model, over all processes."""
        latest = {}
        for process, metric in self.metrics():
            for point in metric.histogram.data_points if metric.name == name else ():
                labels = {pair.key: pair.value.string_value for pair in point.attributes}
                latest[process, frozenset(labels.items())] = labels["model"], point.count
        counts = {}
        for model, count in latest.values():
            counts[model] = counts.get(model, 0) + count
        return counts

    def log_bodies(self):
        return [
            record.body.string_value
            for request in self.requests("/v1/logs")
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]


class _Server(ThreadingHTTPServer):
    def __init__(self, receiver, port):
        super().__init__(("127.0.0.1", port), _Handler)
        self.receiver = receiver


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name: self.headers[name] for name in ("Content-Type", "Content-Encoding") if name in self.headers}
        status = self.server.receiver.accept(self.path, body, headers)
        if headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if status == 200:
            self.server.receiver.bodies[self.path].append(body)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, receiver):
        self._receiver = receiver

    def service(self, details):
        path = _METHODS.get(details.method)
        return path and grpc.unary_unary_rpc_method_handler(lambda body, _: self._keep(path, body))

    def _keep(self, path, body):
        self._receiver.bodies[path].append(body)
        return b""
