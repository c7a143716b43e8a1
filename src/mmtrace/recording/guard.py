"""The guard around telemetry: a fault of ours is counted and logged once per cause, and never reaches the caller."""

import functools
import logging
import math
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")

logger: Final = logging.getLogger("mmtrace")

faults: Final[Counter[str]] = Counter()
"""How often each cause happened."""

_unsaid: Final[deque[tuple[int, str, BaseException | None]]] = deque(maxlen=64)
_said: Final[dict[str, float]] = {}

strict = False
"""Whether a fault is raised again; only the test kit sets it."""


def report(
    cause: str,
    message: str,
    error: BaseException | None = None,
    level: int = logging.WARNING,
    again_after: float = math.inf,
) -> None:
    """Count `cause` and keep its first message for the log; one of `again_after` seconds later is kept too.

    Logging takes locks, and a finalizer may run inside any of them: what is reported here is said later, by `say`.
    """
    faults[cause] += 1
    moment = time.monotonic()
    if cause not in _said:
        _unsaid.append((level, message, error))
    elif moment >= _said[cause] + again_after:
        _unsaid.append((level, f"{message} ({faults[cause]} times until now)", error))
    else:
        return
    _said[cause] = moment


def say() -> None:
    """Log what was reported since the last time; called where waiting is allowed: by the worker, flush and exit."""
    while _unsaid:
        level, message, error = _unsaid.popleft()
        logger.log(level, message, exc_info=error)


def take() -> list[str]:
    """Return what was reported since the last time, instead of logging it."""
    taken = [message for _, message, _ in _unsaid]
    _unsaid.clear()
    return taken


def forget() -> None:
    """Forget all causes, as in a new process; for tests and for `configure()`."""
    faults.clear()
    _said.clear()
    _unsaid.clear()


def never_raises(function: Callable[_P, _R]) -> Callable[_P, _R | None]:
    """Return `function` with every Exception reported instead of raised; it then returns None."""
    cause = _name_of(function)

    @functools.wraps(function)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R | None:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if strict:
                raise
            report(cause, f"mmtrace: {cause} failed and was left out: {error!r}", error)
            return None

    return guarded


def _name_of(function: Callable[..., object]) -> str:
    named = function.func if isinstance(function, functools.partial) else function
    return f"{named.__module__}.{getattr(named, '__qualname__', type(named).__qualname__)}"
