"""Run a pipeline of three models in four processes, with a viewer, and send it requests.

A gateway (HTTP) asks a digit reader (gRPC, scikit-learn), a checker (HTTP, onnxruntime, dynamic batching) and a
narrator (a queue, streamed words). One request in twenty is slow: its trace says why.
"""

import argparse
import math
import signal
import sys
from pathlib import Path

from mmtrace.cli import load_from_extra


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--seconds", type=_positive, metavar="N", help="stop after N seconds; until Ctrl-C if absent")
    parser.add_argument("--rate", type=_positive, default=5.0, metavar="R", help="requests a second")
    parser.add_argument("--otlp", metavar="URL", help="send telemetry to this OTLP/HTTP receiver; start no viewer")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write what the client counted, as JSON")
    parser.add_argument("--port", type=int, default=4318, help="port of the viewer")
    parser.add_argument("--grpc-port", type=int, default=4317, help="port of the viewer's OTLP/gRPC receiver")


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; 0 where every request was answered."""
    runner = load_from_extra("mmtrace.demo.runner", "demo")
    console = runner.Console()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # its processes are to be stopped first
    tally = runner.run(runner.Plan(**vars(arguments)), console)
    console.print(f"{tally.requests} requests answered, {len(tally.slow)} of them slow, {tally.failed} failed.")
    return 1 if tally.failed else 0


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"it must be a number above zero, not {text!r}")
    return value
