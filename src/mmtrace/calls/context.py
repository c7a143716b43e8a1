"""Contexts of calls: which one is open in this very task or thread, and how a context is entered and left."""

import _thread
import sys
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, Final, Protocol

from opentelemetry import context as api
from opentelemetry.context import Context

from mmtrace.calls.model import Model
from mmtrace.recording.current import attach, current, detach

_SUPPRESS_KEY: Final = api._SUPPRESS_INSTRUMENTATION_KEY
OPEN_KEY: Final = api.create_key("mmtrace-open-call")
"""The key under which a context holds the model call whose step it is."""

_modules: Final = sys.modules
_thread_here: Final = _thread.get_ident

current_context = current


class OpenCall(Protocol):
    """A model call, as far as what runs inside it needs to know."""

    @property
    def model(self) -> Model:
        """The model that is called."""
        ...

    place: int
    """The task or thread in which its step runs, as `here` identifies it."""

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        ...

    def same_runtime(self, model: Model) -> bool:
        """Whether a call of `model` inside it is but a part of it."""
        ...

    @property
    def context(self) -> Context:
        """The context in which its span is current."""
        ...

    def step(self) -> AbstractContextManager[Context]:
        """Return a block in which it is current."""
        ...


def here() -> int:
    """Identify the running asyncio task, or the thread where none runs."""
    asyncio = _modules.get("asyncio")
    if asyncio is not None and (loop := asyncio._get_running_loop()) is not None:
        task = asyncio.current_task(loop)
        if task is not None:
            return id(task)
    return _thread_here()


def open_call(context: Context) -> OpenCall | None:
    """Return the model call that has not ended and whose step runs in this very task or thread."""
    call: Any = context.get(OPEN_KEY)
    return None if call is None or call.ended or call.place != here() else call


def model_in(context: Context) -> str:
    """Return the name of the model whose call is open in `context`, in whichever task or thread; empty for none."""
    call: Any = context.get(OPEN_KEY)
    return "" if call is None or call.ended else call.model.name


def with_values(context: Context, values: Mapping[str, Any]) -> Context:
    """Return `context` with `values` in it."""
    return Context({**context, **values})


class attached:  # noqa: N801  # used like a function, a class because it stands on the hot path
    """Make `context` current inside the block.

    Leaving it somewhere else than it was entered (a generator closed from another thread or by the collector)
    changes nothing there and says nothing.
    """

    __slots__ = ("_context", "_token")

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> Context:
        self._token = attach(self._context)
        return self._context

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        detach(self._token)


def suppressed() -> bool:
    """Whether instrumentations are asked to record nothing here."""
    return bool(current_context().get(_SUPPRESS_KEY))


@contextmanager
def suppress() -> Generator[None]:
    """Let no instrumentation record anything inside the block."""
    with attached(with_values(current_context(), {_SUPPRESS_KEY: True})):
        yield
