"""What `import mmtrace` costs: its time against `import opentelemetry.sdk.trace`, and what it must not load.

    python benchmarks/import_time.py [--rounds N] [--json FILE]

Every import runs in a fresh interpreter, in turn with the others; the figures are medians. mmtrace resolves its names
on first use: the last row has loaded all that its verbs need. Ends with 1 where a module is loaded that must not be.
"""

import statistics
import subprocess
import sys

from rich.table import Table

from sides import RECORDERS
from tables import CONSOLE, about, finish, parser

API, SDK = "import opentelemetry.trace", "import opentelemetry.sdk.trace"
LAZY, VERBS = "import mmtrace", "from mmtrace import configure, model"
PEERS = {"fastotel": "from fastotel import OTLPSpanProcessor", "ddtrace": "from ddtrace.trace import tracer"}
IMPORTS = (API, SDK, LAZY, VERBS, *(statement for peer, statement in PEERS.items() if peer in RECORDERS))
FORBIDDEN = (
    "asyncio", "ctypes", "difflib", "google.protobuf", "grpc", "hashlib", "http.server", "jinja2",
    "mmtrace.export.console", "mmtrace.export.file", "mmtrace.export.otlp_grpc", "mmtrace.export.otlp_http",
    "mmtrace.export.prometheus", "mmtrace.server", "opentelemetry.exporter", "opentelemetry.sdk",
    "prometheus_client", "socket", "sqlite3", "ssl", "starlette", "statistics", "urllib3", "uvicorn", "wrapt",
)  # fmt: skip
PROGRAM = """
import sys, time
start, cpu = time.perf_counter(), time.process_time()
{statement}
cpu, elapsed = time.process_time() - cpu, time.perf_counter() - start
print(elapsed * 1000, cpu * 1000, *sorted(sys.modules))
"""


def imported(statement):
    """Return milliseconds by the clock and of CPU in a fresh interpreter, and the modules that are loaded then."""
    program = [sys.executable, "-c", PROGRAM.format(statement=statement)]
    elapsed, cpu, *modules = subprocess.run(program, check=True, capture_output=True, text=True).stdout.split()
    return (float(elapsed), float(cpu)), modules


def measure(rounds):
    times, modules = {statement: [] for statement in IMPORTS}, {}
    for _ in range(rounds + 1):
        for statement in IMPORTS:
            elapsed, modules[statement] = imported(statement)
            times[statement].append(elapsed)
    clock, cpu = (
        {
            statement: round(statistics.median(took[which] for took in found[1:]), 1)
            for statement, found in times.items()
        }
        for which in (0, 1)
    )
    return about(RECORDERS) | {
        "milliseconds": clock,
        "milliseconds of CPU": cpu,
        "modules": {statement: len(found) for statement, found in modules.items()},
        "sdk / mmtrace": round(cpu[SDK] / cpu[VERBS], 2),
        "must not be loaded": sorted(filter(is_forbidden, modules[VERBS])),
    }


def is_forbidden(module):
    return any(module == name or module.startswith(name + ".") for name in FORBIDDEN)


def show(figures):
    table = Table("import", "ms", "ms of CPU", "modules", title="imports in fresh interpreters")
    for statement in IMPORTS:
        clock, cpu = (f"{figures[name][statement]:.1f}" for name in ("milliseconds", "milliseconds of CPU"))
        table.add_row(statement, clock, cpu, str(figures["modules"][statement]))
    CONSOLE.print(table)
    CONSOLE.print(f"the SDK takes {figures['sdk / mmtrace']} times the CPU of all of mmtrace's verbs")
    CONSOLE.print("loaded that must not be:", ", ".join(figures["must not be loaded"]) or "nothing")


def main():
    arguments = parser(__doc__, sides=())
    arguments.add_argument("--rounds", type=int, default=15, help="fresh interpreters for each import")
    given = arguments.parse_args()
    figures = measure(given.rounds)
    show(figures)
    finish(figures, given.json)
    sys.exit(1 if figures["must not be loaded"] else 0)


if __name__ == "__main__":
    main()
