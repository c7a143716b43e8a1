"""Find out why telemetry does not arrive: try the receiver, and name the mistake.

    mmtrace doctor
    mmtrace doctor --endpoint http://collector:4318
    OTEL_EXPORTER_OTLP_PROTOCOL=grpc mmtrace doctor --query http://jaeger:16686

Sends one span by the settings that a service with the same variables would use, and reads it back where the receiver
or --query answers queries for traces (`mmtrace serve`, Jaeger). Arguments of configure() are not seen from here: each
setting is an option as well. Also shows which settings are in force and where each comes from, which libraries are
patched, and what waits on disk.

Ends with 0 where nothing is wrong, with 1 for a problem, and with 2 for wrong usage.
"""

import argparse
import os

from mmtrace.cli._values import positive
from mmtrace.doctor.examination import run as examine
from mmtrace.doctor.rendering import as_json, as_text
from mmtrace.settings import TABLE

_NOT_OPTIONS = {"auto", "report"}
_OPTIONS = {row.name: row for row in TABLE if row.variables and row.name not in _NOT_OPTIONS}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the doctor is told, and an option for each setting."""
    parser.add_argument("--json", action="store_true", help="Say it as JSON.")
    parser.add_argument("--query", metavar="URL", default="", help="Where the probe is read back.")
    parser.add_argument("--wait", metavar="SECONDS", type=positive, default=10.0, help="How long the probe may take.")
    parser.add_argument("--limit", metavar="SECONDS", type=positive, default=5.0, help="Longest time of one request.")
    for name, row in _OPTIONS.items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(
            option, dest=name, metavar="VALUE", default=argparse.SUPPRESS, help=row.help.replace("%", "%%")
        )


def run(arguments: argparse.Namespace) -> int:
    """Examine and say what was found; 0 where nothing is wrong, else 1."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC's own log would stand between the lines
    given = {name: getattr(arguments, name) for name in _OPTIONS if name in arguments}
    report = examine(os.environ, given, query=arguments.query, wait=arguments.wait, timeout=arguments.limit)
    print(as_json(report) if arguments.json else as_text(report))
    return int(report.problems > 0)
