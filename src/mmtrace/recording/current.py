"""What is current in this thread or task: the API's context, switched at little cost and without a log line."""

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

current: Final[Callable[[], Context]] = _variable.get if _variable else context_api.get_current
"""Return the current context."""

attach: Final[Callable[[Context], Token[Context]]] = _variable.set if _variable else context_api.attach
"""Make a context current; the token is for `detach`."""

_reset: Final[Callable[[Token[Context]], None]] = _variable.reset if _variable else _runtime.detach


def current_in_collection() -> Context | None:
    """Return the current context inside a garbage collection, None where it cannot be known there.

    Up to Python 3.11 a collection may run inside `ContextVar.reset`, and what `ContextVar.get` then remembers is freed
    when the reset goes on: the next `get` ends the process. A copy of all variables is read without such memory.
    """
    return copy_context().get(_variable) if _variable else None


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
