"""What is current in this thread or task: the API's context, switched at little cost and without a log line."""

import sys
from collections.abc import Callable
from contextvars import Token, copy_context
from typing import Final

from opentelemetry import context as context_api
from opentelemetry.context.context import Context
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
from opentelemetry.trace import Span
from opentelemetry.trace.propagation import _SPAN_KEY

SPAN_KEY: Final = _SPAN_KEY
"""The key under which a context holds its span."""


_runtime: Final = context_api._RUNTIME_CONTEXT
_variable: Final = _runtime._current_context if type(_runtime) is ContextVarsRuntimeContext else None

_set: Final[Callable[[Context], Token[Context]]] = _variable.set if _variable else context_api.attach
_get: Final[Callable[[None], Context | None]] = _variable.get if _variable else lambda _: None
_DELETES_BADLY: Final = _variable is not None and sys.version_info < (3, 12)
ROOT: Final = Context()
"""The empty context that `attach` puts where there was none."""

current: Final[Callable[[], Context]] = _variable.get if _variable else context_api.get_current
"""Return the current context."""


def _attach_over_empty(context: Context) -> Token[Context]:
    """Make a context current, over an empty one where there was none: no variable is deleted when it is left.

    Up to Python 3.11 a collection may run inside that deletion, and where a finalizer in it reads the variable, the
    next one who does ends the process. Where a variable is set to what it was, nothing of the kind can happen.
    """
    if _get(None) is None:
        _set(ROOT)
    return _set(context)


attach: Final[Callable[[Context], Token[Context]]] = _attach_over_empty if _DELETES_BADLY else _set
"""Make a context current; the token is for `detach`."""

replace: Final = _set
"""Do what `attach` does, where one is current already: what `current` returned is not empty, or is `ROOT`."""

_reset: Final[Callable[[Token[Context]], None]] = _variable.reset if _variable else _runtime.detach


def current_in_collection() -> Context | None:
    """Return the current context inside a garbage collection, None where it cannot be known there.

    Up to Python 3.11 a collection may run inside `ContextVar.reset`, and what `ContextVar.get` then remembers is freed
    when the reset goes on: the next `get` ends the process. A copy of all variables is read without such memory.
    """
    return copy_context().get(_variable) if _variable else None


def aside(function: Callable[..., object], *arguments: object) -> None:
    """Call `function` in a copy of what is current: what it attaches changes nothing for whom a collection interrupts.

    Up to Python 3.11 that may be a `ContextVar.set` that is half done; another one inside ends the process.
    """
    copy_context().run(function, *arguments)


def detach(token: Token[Context]) -> None:
    """Make the context current that was so before `attach`.

    Where the token came from another thread's or task's context, as with a generator that somebody else closes,
    nothing is changed and nothing is said.
    """
    try:
        _reset(token)
    except Exception:
        return


def with_span(span: Span, context: Context) -> Context:
    """Return `context` with `span` as its span."""
    inside = Context(context)
    dict.__setitem__(inside, SPAN_KEY, span)
    return inside
