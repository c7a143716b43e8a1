"""Write alert rules for Prometheus and dashboards for Grafana, for your services and objectives.

  mmtrace rules                                              the defaults, for every model
  mmtrace rules objectives.yml                               the objectives of a file
  mmtrace rules --from http://localhost:9090 objectives.yml  what a running Prometheus has seen

With --from, a file that is not there yet is written: every service and model that Prometheus has seen, with thresholds
that 99 of 100 calls of the last day kept. One that is there is checked: its services, models and thresholds must be
among what Prometheus has seen.

A file of objectives states what differs from the defaults, which are these (times in seconds, shares from 0 to 1):

  minimum_rate: 0.1        # calls a second; below it a percentile or a ratio says nothing
  latency_buckets: []      # bounds that the services add to their histograms
  processes:
    memory: 0.9            # share of the memory that the cgroup allows
    gc_pause: 0.1          # longest pause for garbage collection
    gpu_memory: 0.95       # share of the memory of a GPU
  defaults:
    models:                # of mmtrace.model.call.duration
      latency: 2.5         # a call that takes longer is slow
      target: 0.95         # share of the calls that must not be slow, over 30 days
      p95: 2.5             # 95 of 100 calls take less
      p99: 5               # 99 of 100 calls take less
      errors: 0.05         # share of the calls that may fail; cancelled ones do not count
      first_output: 1      # 95 of 100 streams give their first output sooner
      queue: 0.5           # 95 of 100 calls wait less before they are computed
      saturation: 0.5      # share of the time of calls that may be spent waiting
    gen_ai:                # of gen_ai.client.operation.duration, by which clients of APIs are measured
      latency: 10.24
      target: 0.95
      p95: 10
      p99: 30

and names services as the label `job` does (service.name, or service.namespace/service.name), with their models:

  services:
    reranker:
      models:
        bge-reranker: {latency: 0.25, target: 0.99}
    gateway:
      gen_ai:
        gpt-5: {latency: 5.12}

`latency` and `gc_pause` are bounds of the histogram's buckets, because Prometheus counts by them. The services add
bounds by the setting MMTRACE_LATENCY_BUCKETS; `latency_buckets` says so here.

Ends with 1 for what cannot be read, asked or written, and with 2 for a mistake in the file or in the options; nothing
is written then.
"""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mmtrace.cli import load_from_extra
from mmtrace.errors import CommandError

if TYPE_CHECKING:
    from mmtrace.rules import Objectives


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("file", nargs="?", type=Path, metavar="FILE", help="the objectives (default: those above)")
    add("--from", dest="source", metavar="URL", help="address of a Prometheus to ask for services and models")
    add("--rules", type=Path, default=Path("mmtrace.rules.yml"), metavar="FILE", help="where the rules are written")
    add("--dashboards", type=Path, default=Path("dashboards"), metavar="DIR", help="where the dashboards are written")


def run(arguments: argparse.Namespace) -> int:
    """Write all files, or none."""
    rules = load_from_extra("mmtrace.rules", "rules")
    written: dict[Path, str] = {}
    if arguments.source and not arguments.file:
        raise CommandError("--from takes a FILE too: the objectives, written or checked (see mmtrace rules --help)", 2)
    seen = rules.ask(arguments.source) if arguments.source else None
    if seen is not None and not arguments.file.exists():
        objectives: Objectives = rules.proposed(seen)
        written[arguments.file] = rules.objectives_file(objectives)
    elif arguments.file:
        objectives = rules.read(_text(arguments.file), str(arguments.file), seen)
    else:
        objectives = rules.Objectives()
    written[arguments.rules] = rules.rule_file(objectives)
    written |= {arguments.dashboards / name: text for name, text in rules.dashboards(objectives).items()}
    _write(written)
    print(*written, sep="\n")
    return 0


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise CommandError(
            f"{path} cannot be read: it is no UTF-8 text ({error.reason} at byte {error.start})"
        ) from None


def _write(texts: Mapping[Path, str]) -> None:
    """Write all files or none, each as a whole: Prometheus and Grafana may read them at any time."""
    unfinished: list[tuple[Path, Path]] = []
    path = Path()
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(f".{path.name}.{os.getpid()}")
            beside.write_text(text, "utf-8")
            unfinished.append((beside, path))
        for beside, path in unfinished:
            beside.replace(path)
    except OSError as error:
        for beside, _ in unfinished:
            beside.unlink(missing_ok=True)
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None
