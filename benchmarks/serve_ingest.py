"""How many spans a second `mmtrace serve` takes on one core: protobuf over HTTP in batches of 512.

    python benchmarks/serve_ingest.py [--spans N] [--batch N] [--connections N] [--json FILE]

The server runs in a process of its own, pinned to one core; the sender encodes everything beforehand, runs on another
core where there is one, and sends over several connections that stay open. States: `parse only` is what protobuf's own
parser needs for the same bodies; `serve` is until every span is in the file. The file is opened and counted at the end:
ends with 1 where a span is lost.
"""

import contextlib
import http.client
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from rich.table import Table

from mmtrace.server.store import Store
from tables import CONSOLE, about, finish, parser

ROOT = Path(__file__).resolve().parent.parent
HEADERS = {"Content-Type": "application/x-protobuf"}
TARGET = 20_000


def bodies(spans, batch, spans_per_trace=8):
    """Yield request bodies of model-call spans with six attributes each, 8 spans a trace, in batches."""
    source = random.Random(5)
    for first in range(0, spans, batch):
        request = ExportTraceServiceRequest()
        group = request.resource_spans.add()
        group.resource.attributes.append(KeyValue(key="service.name", value=AnyValue(string_value="bench")))
        scope = group.scope_spans.add()
        scope.scope.name = "mmtrace"
        for number in range(first, min(first + batch, spans)):
            if number % spans_per_trace == 0 or number == first:
                trace_id, parent = source.randbytes(16), b""
            span = add_span(scope.spans, trace_id, source.randbytes(8), parent, number)
            parent = parent or span.span_id
        yield request.SerializeToString()


def add_span(spans, trace_id, span_id, parent, number):
    now = time.time_ns()
    span = spans.add(trace_id=trace_id, span_id=span_id, parent_span_id=parent, kind=1, flags=0x101)
    span.name = f"infer model-{number % 7}"
    span.start_time_unix_nano, span.end_time_unix_nano = now, now + 5_000_000
    texts = {"name": f"model-{number % 7}", "version": "2026-10", "task": "infer", "framework": "torch"}
    for key, value in texts.items():
        span.attributes.append(KeyValue(key=f"mmtrace.model.{key}", value=AnyValue(string_value=value)))
    for key, value in {"mmtrace.batch.size": 8, "mmtrace.input.tokens": 512}.items():
        span.attributes.append(KeyValue(key=key, value=AnyValue(int_value=value)))
    return span


@contextlib.contextmanager
def server(file, core):
    """Run the server on one core; yield its process and its port."""
    command = [sys.executable, "-m", "mmtrace", "serve", "--port", "0", "--grpc-port", "0", "--store", str(file)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), *sys.path])}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    os.sched_setaffinity(process.pid, {core})
    try:
        yield process, int(re.search(r":(\d+)", process.stdout.readline())[1])
    finally:
        process.terminate()
        process.wait(60)


def send(port, share, repeats):
    """Send bodies over one connection; a 503 is waited out and the body sent again."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for body in share:
        while True:
            connection.request("POST", "/v1/traces", body, HEADERS)
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                break
            assert answer.status == 503, answer.status
            repeats.append(answer.status)
            time.sleep(float(answer.headers["Retry-After"]))
    connection.close()


def ask(port):
    """Ask for the services: answered when everything that was accepted is written."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/api/v3/services")
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def cpu_seconds(process):
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(process, key):
    return int(re.search(rf"{key}:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())[1]) << 10


def measure_serve(prepared, spans, connections, core):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bench.db"
        with server(file, core) as (process, port):
            ask(port)
            idle, cpu, repeats = memory(process, "VmRSS"), cpu_seconds(process), []
            shares = [prepared[number::connections] for number in range(connections)]
            senders = [threading.Thread(target=send, args=(port, share, repeats)) for share in shares]
            began = time.perf_counter()
            for sender in senders:
                sender.start()
            for sender in senders:
                sender.join()
            assert ask(port) == {"services": ["bench"]}
            wall, cpu = time.perf_counter() - began, cpu_seconds(process) - cpu
            peak = memory(process, "VmHWM")
        with Store(file) as store:
            stats = store.stats()
        return {
            "spans": spans,
            "stored": stats.spans,
            "lost": spans - stats.spans,
            "resent": len(repeats),
            "wall_seconds": wall,
            "cpu_seconds": cpu,
            "spans_per_second": spans / wall,
            "spans_per_cpu_second": spans / cpu,
            "memory_idle": idle,
            "memory_peak": peak,
            "file_bytes_per_span": stats.bytes / stats.spans,
        }


def measure_parsing(prepared, spans):
    """Return spans per CPU second of protobuf's parser alone."""
    began = time.process_time()
    for body in prepared:
        ExportTraceServiceRequest.FromString(body)
    return spans / (time.process_time() - began)


def report(results):
    served, parsed = results["serve"], results["parse_only_spans_per_cpu_second"]
    table = Table(title=f"mmtrace serve on one core, {served['spans']:,} spans in batches of {results['batch']}")
    for column in ("state", "spans/s", "spans per CPU second", "memory idle", "memory peak", "lost"):
        table.add_column(column, justify="left" if column == "state" else "right")
    table.add_row("parse only", "", f"{parsed:,.0f}", "", "", "")
    table.add_row(
        "serve",
        f"{served['spans_per_second']:,.0f}",
        f"{served['spans_per_cpu_second']:,.0f}",
        f"{served['memory_idle'] / 1e6:,.0f} MB",
        f"{served['memory_peak'] / 1e6:,.0f} MB",
        f"{served['lost']:,}",
    )
    CONSOLE.print(table)
    CONSOLE.print(
        f"{parsed / served['spans_per_cpu_second']:.0f} times the CPU of parsing alone;"
        f" {served['resent']} batches sent again; {served['file_bytes_per_span']:.0f} bytes of file a span;"
        f" target {TARGET:,} spans/s, none lost: {'met' if results['met'] else 'missed'}"
    )


def main():
    arguments = parser(__doc__, sides=())
    arguments.add_argument("--spans", type=int, default=204_800)
    arguments.add_argument("--batch", type=int, default=512)
    arguments.add_argument("--connections", type=int, default=4)
    given = arguments.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, set(cores[1:]))
    prepared = list(bodies(given.spans, given.batch))
    results = about(["mmtrace"], peers=()) | {
        "batch": given.batch,
        "connections": given.connections,
        "body_bytes": len(prepared[0]),
        "parse_only_spans_per_cpu_second": measure_parsing(prepared, given.spans),
        "serve": (served := measure_serve(prepared, given.spans, given.connections, cores[0])),
        "met": served["spans_per_second"] >= TARGET and not served["lost"],
    }
    report(results)
    finish(results, given.json)
    return 1 if served["lost"] else 0


if __name__ == "__main__":
    sys.exit(main())
