"""Import and patch: `configure()` and `instrument()` from the environment alone.

    import mmtrace.auto

`mmtrace run` does the same for a program that does not import it. Raises ConfigurationError for a wrong variable.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mmtrace._configure import _settings, configure, destinations, flush, instrument
from mmtrace._ending import before_the_end
from mmtrace.patching import process
from mmtrace.transport.lifetime import Ending

_PATIENCE: Final = 2.0
"""Seconds for which a report waits for what was recorded last."""


def _report(timeout: float) -> None:
    """Say what was patched: on standard error, or at the end of a file. Pools of processes repeat their parent's."""
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        return
    flush(_PATIENCE)
    head = f"mmtrace: what was patched in {' '.join(sys.argv[:1])} (pid {os.getpid()})"
    text = "\n".join([head, process.report(), *_spans(), ""])
    if _where == "-":
        sys.stderr.write(text)
    else:
        with Path(_where).open("a", encoding="utf-8") as file:
            file.write(text)


def _spans() -> Iterator[str]:
    """Yield what became of the spans, a line for each destination."""
    for where, health in destinations().items():
        lost = sum(health.dropped.values())
        reasons = f" ({', '.join(health.dropped)})" if lost else ""
        on_disk = f", {health.spool_spans} kept on disk" if health.spool_spans else ""
        waiting = f", {health.queue_spans} waiting" if health.queue_spans else ""
        yield f"spans: {health.exported} sent to {where}, {lost} dropped{reasons}{on_disk}{waiting}"


configure()
instrument()
_where = _settings().report
if _where:
    before_the_end(Ending(_report, 0.0).end)
