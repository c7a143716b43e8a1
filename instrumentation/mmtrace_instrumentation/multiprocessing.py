"""multiprocessing: processes and the tasks of a pool run in the context in which they were started, however they start.

A forked process would keep the context of the moment of the fork for as long as it lives, so that it is left there. A
spawned one, and one of a fork server, begins with nothing: it is configured and instrumented as its parent is.
"""

from collections.abc import Generator
from typing import Any

from mmtrace.instrumenting import Context, Inheriting, Instrumentation, Patch, attached, extract, inject
from mmtrace_instrumentation.shapes import task


def _start(wrapped: Any, process: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Generator[None, Any, None]:
    run = task.Carried(Inheriting(process.run), extract(inject({})))
    state, before = vars(process), vars(process).copy()
    state.clear()
    state.update(
        {"run": run, **{key: value for key, value in before.items() if key != "run"}}
    )  # first, so that in a new process it comes before the target's modules
    try:
        yield
    finally:
        state.pop("run", None)
        if "run" in before:
            state["run"] = before["run"]


def _fork(wrapped: Any, instance: None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Generator[None, int, None]:
    if (yield) == 0:
        attached(Context()).__enter__()


instrumentation = Instrumentation(
    name="multiprocessing",
    patches=(
        Patch("multiprocessing.process:BaseProcess.start", _start),
        Patch("multiprocessing.pool:Pool.apply_async", task.carrying("func")),
        Patch("multiprocessing.pool:Pool._map_async", task.carrying("func")),
        Patch("multiprocessing.pool:Pool.imap", task.carrying("func")),
        Patch("multiprocessing.pool:Pool.imap_unordered", task.carrying("func")),
        Patch("os:fork", _fork, optional=True),
    ),
)
