"""threading: a thread, a timer and a thread of any subclass run in the context in which they were started."""

from collections.abc import Generator
from threading import Thread
from typing import Any

from mmtrace.instrumenting import Context, Instrumentation, Patch, attached, current_context


class _Run:
    """Stands for the `run` of one thread, and gives the thread its own back when it begins."""

    __slots__ = ("_context", "_thread", "_was")

    def __init__(self, thread: Thread, context: Context) -> None:
        self._thread: Thread | None = thread
        self._context = context
        self._was = vars(thread).get("run")

    def __call__(self) -> None:
        thread = self.leave()
        with attached(self._context):
            thread.run()

    def leave(self) -> Thread:
        """Return the thread as it was before."""
        thread, self._thread = self._thread, None
        assert thread is not None
        vars(thread).pop("run", None)
        if self._was is not None:
            vars(thread)["run"] = self._was
        return thread


def _start(wrapped: Any, thread: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Generator[None, Any, None]:
    if vars(thread).get("_ident", 0) is not None:  # it runs already, or was never made: the library says so
        yield
        return
    run = _Run(thread, current_context())
    thread.run = run
    try:
        yield
    except BaseException:
        run.leave()
        raise


instrumentation = Instrumentation(
    name="threading",
    patches=(Patch("threading:Thread.start", _start),),
    superseded_by=("opentelemetry.instrumentation.threading",),
)
