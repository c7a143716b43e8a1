"""Import and patch: `configure()` and `instrument()` from the environment alone.

    import mmtrace.auto

`mmtrace run` does the same for a program that does not import it. Raises ConfigurationError for a wrong variable.
"""

import os
import sys
from pathlib import Path

from mmtrace._configure import _settings, configure, instrument
from mmtrace._ending import before_the_end
from mmtrace.patching import process
from mmtrace.transport.lifetime import Ending


def _report(timeout: float) -> None:
    """Say what was patched: on standard error, or at the end of a file. Pools of processes repeat their parent's."""
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        return
    text = f"mmtrace: what was patched in {' '.join(sys.argv[:1])} (pid {os.getpid()})\n{process.report()}\n"
    if _where == "-":
        sys.stderr.write(text)
    else:
        with Path(_where).open("a", encoding="utf-8") as file:
            file.write(text)


configure()
instrument()
_where = _settings().report
if _where:
    before_the_end(Ending(_report, 0.0).end)
