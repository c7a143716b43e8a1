"""Runs the demo: a viewer, four services and their client, and takes them down again in the right order."""

import contextlib
import tempfile
import threading
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.live import Live

from mmtrace.demo.load import Load, Tally
from mmtrace.demo.processes import Child, free_ports
from mmtrace.demo.table import ModelTable


@dataclass(frozen=True)
class Plan:
    """What the user asked for: how long (seconds, None until Ctrl-C), how fast (requests a second), and where to."""

    seconds: float | None = None
    rate: float = 5.0
    otlp: str | None = None
    report: Path | None = None
    port: int = 4318
    grpc_port: int = 4317


def run(plan: Plan, console: Console) -> Tally:
    """Run the demo as planned and return what its client counted."""
    with contextlib.ExitStack() as stack:
        receiver = plan.otlp or _start_viewer(plan, stack)
        console.print(f"Telemetry goes to [bold]{receiver}[/bold]", soft_wrap=True)
        console.print("Training and starting four services ...")
        gateway = _start_services(receiver, stack)
        if plan.otlp is None:
            console.print(f"Look at the traces: [bold]{receiver}[/bold]   (Ctrl-C stops everything)", soft_wrap=True)
        tally = _drive(Load(gateway, plan.rate), plan, None if plan.otlp else receiver, console)
    if plan.report is not None:
        plan.report.write_text(tally.as_json())
    return tally


def _start_viewer(plan: Plan, stack: contextlib.ExitStack) -> str:
    port = plan.port or free_ports(1)[0]
    command = ["mmtrace", "serve", "--port", str(port), "--grpc-port", str(plan.grpc_port)]
    stack.enter_context(_running(Child("mmtrace serve", command, port, {})))
    return f"http://127.0.0.1:{port}"


def _start_services(receiver: str, stack: contextlib.ExitStack) -> str:
    reader, checker, narrator, gateway = free_ports(4)
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver,
        # Counters of a service go on for an hour after its last process; those of this run begin at zero.
        "MMTRACE_METRICS_DIR": stack.enter_context(tempfile.TemporaryDirectory(prefix="mmtrace-demo-")),
        "READER_ADDRESS": f"127.0.0.1:{reader}",
        "CHECKER_PORT": str(checker),
        "NARRATOR_PORT": str(narrator),
        "GATEWAY_PORT": str(gateway),
    }
    models = [("reader", reader), ("checker", checker), ("narrator", narrator)]
    started = [(Child(name, [f"mmtrace.demo.{name}"], port, environment)) for name, port in models]
    for child in started:
        stack.callback(child.stop)
    for child in started:
        child.wait_until_ready()
    # Last to start and first to stop: whoever calls ends before those that are called.
    stack.enter_context(_running(Child("gateway", ["mmtrace.demo.gateway"], gateway, environment)))
    return f"http://127.0.0.1:{gateway}"


@contextlib.contextmanager
def _running(child: Child) -> Generator[Child]:
    try:
        child.wait_until_ready()
        yield child
    finally:
        child.stop()


def _drive(load: Load, plan: Plan, viewer: str | None, console: Console) -> Tally:
    table = ModelTable(viewer)
    sender = threading.Thread(target=load.run, args=(plan.seconds,), name="demo-load")
    sender.start()
    try:
        with Live(console=console, refresh_per_second=2, transient=False) as live:
            while sender.is_alive():
                live.update(table.render(load.tally))
                sender.join(0.5)
            live.update(table.render(load.tally))
        if not console.is_terminal:
            console.print()  # a live table ends its last line on terminals only
    except KeyboardInterrupt:
        console.print("Stopping ...")
    finally:
        load.stop()
        sender.join()
    return load.tally
