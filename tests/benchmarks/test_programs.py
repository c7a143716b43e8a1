"""The programs of benchmarks/ run from the command line and write what they measured; no figure is judged here."""

import functools
import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("rich")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMALL = {
    "export_cpu": "--rounds 1 --seconds 0.05 --sides stock mmtrace --states exporting",
    "import_time": "--rounds 1",
    "propagation": "--rounds 1 --loops 5 --sides stock mmtrace --states recording",
    "serve_ingest": "--spans 600 --connections 1",
    "span_cost": "--rounds 1 --sides stock mmtrace --states exporting",
    "spool_throughput": "--rounds 1 --seconds 0.05 --modes overflow always",
    "thread_latency": "--rounds 1 --seconds 0.1 --sides stock mmtrace",
    "throughput_and_loss": "--rounds 1 --seconds 0.05 --sides mmtrace",
}
COMPARED = sorted(SMALL.keys() - {"import_time", "serve_ingest", "spool_throughput"})
PEERS = ("ddtrace", "fastotel")


@functools.cache
def run(program):
    """Run a program and return its figures and what it printed."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures.json"
        command = [sys.executable, BENCHMARKS / f"{program}.py", *SMALL[program].split(), "--json", file]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return json.loads(file.read_text()), ended.stdout


def test_every_program_is_run_by_make_bench_and_here():
    makefile = (BENCHMARKS.parent / "Makefile").read_text()
    listed = makefile.partition("PROGRAMS :=")[2].partition("\n\n")[0].replace("\\\n", "").split()
    programs = {file.stem for file in BENCHMARKS.glob("*.py") if '__name__ == "__main__"' in file.read_text()}

    assert set(listed) == set(SMALL) == programs - {"fill_readme", "sink", "worker"}


@pytest.mark.parametrize("program", sorted(SMALL))
def test_a_program_says_what_ran_and_on_what_machine(program):
    figures, printed = run(program)

    assert figures["versions"]["mmtrace"]
    assert figures["machine"] in " ".join(printed.split())


@pytest.mark.parametrize("program", COMPARED)
def test_a_program_compares_sides_state_by_state(program):
    figures, printed = run(program)

    for state, measures in figures["states"].items():
        assert state in printed
        for sides in measures.values():
            assert isinstance(sides["mmtrace"], float)


@pytest.mark.parametrize("program", COMPARED)
def test_a_peer_that_is_not_installed_is_named(program):
    figures, printed = run(program)

    for peer in PEERS:
        assert (peer in figures["not installed"]) == (find_spec(peer) is None) == (f"{peer} is left out" in printed)


def test_what_was_kept_on_disk_arrives_with_the_next_process():
    figures, _ = run("spool_throughput")

    for mode in ("overflow", "always"):
        assert figures["states"]["receiver away"]["kept on disk, %"][mode] == 100
        assert figures["states"]["receiver back"]["arrived at last, %"][mode] == 100


def test_all_spans_of_a_small_run_arrive():
    figures, _ = run("export_cpu")

    for side in ("stock", "mmtrace"):
        assert figures["delivered"][side]["spans"] == figures["delivered"][side]["calls"]
