"""A receiver that accepts everything and counts spans by service: the other end of the benchmarks.

Prints its port, then serves until its standard input closes. `GET /` answers with the counts as JSON.
"""

import gzip
import json
import os
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

spans = Counter()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path == "/v1/traces":
            count(ExportTraceServiceRequest.FromString(body))
        self.answer(b"")

    def do_GET(self):
        self.answer(json.dumps(spans).encode())

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Say nothing."""


def count(request):
    for resource_spans in request.resource_spans:
        named = {pair.key: pair.value.string_value for pair in resource_spans.resource.attributes}
        spans[named.get("service.name", "")] += sum(len(scope.spans) for scope in resource_spans.scope_spans)


def main():
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
