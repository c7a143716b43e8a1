"""Run a pipeline of three models in four processes, with a viewer, and send it requests.

A gateway (HTTP) asks a digit reader (gRPC, scikit-learn), a checker (HTTP, onnxruntime, dynamic batching) and a
narrator (a queue, streamed words). One request in twenty is slow: its trace says why.
"""

import argparse
import signal
import sys
from pathlib import Path

from mmtrace.cli import load_from_extra
from mmtrace.cli._values import address, port, positive
from mmtrace.errors import CommandError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--seconds", type=positive, metavar="N", help="stop after N seconds; until Ctrl-C if absent")
    parser.add_argument("--rate", type=positive, default=5.0, metavar="R", help="requests a second")
    parser.add_argument(
        "--otlp", type=address, metavar="URL", help="send telemetry to this OTLP/HTTP receiver; start no viewer"
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="write what the client counted, as JSON")
    parser.add_argument("--port", type=port, default=4318, help="port of the viewer")
    parser.add_argument("--grpc-port", type=port, default=4317, help="port of the viewer's OTLP/gRPC receiver")


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; 0 where every request was answered."""
    _check(arguments.report)
    runner = load_from_extra("mmtrace.demo.runner", "demo")
    console = runner.Console()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # its processes are to be stopped first
    tally = runner.run(runner.Plan(**vars(arguments)), console)
    console.print(f"{tally.requests} requests answered, {len(tally.slow)} of them slow, {tally.failed} failed.")
    return 1 if tally.failed else 0


def _check(report: Path | None) -> None:
    """Refuse a report that could not be written, before the demo runs for it."""
    if report is not None:
        try:
            report.open("a").close()
        except OSError as error:
            raise CommandError(f"the report {report} cannot be written: {error.strerror}") from None
