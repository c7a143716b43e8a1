"""What an instrumentation declares: where to hook a library and what to run there, as data.

A wrapper has one signature, `wrapper(wrapped, instance, args, kwargs)`, and one of two forms. The first is a generator
function that yields once, where the original runs:

    def send(wrapped, instance, args, kwargs):
        call = Call.start(...)              # before; `yield args, kwargs` hands on other arguments than the caller's
        with call.step():
            response = yield                # the original runs here, or is awaited here if it is a coroutine function;
        call.end()                          # what it raises is raised here too, and passes on whatever we do
        return None                         # anything but None replaces the result

The second is a function that calls `wrapped(*args, **kwargs)` itself and returns the result; it may be a coroutine
function. The first one is shorter and serves sync and async alike.

Both are guarded by their form: the original runs exactly once; a fault of the wrapper before it runs means that it gets
the caller's own arguments, a fault after it that its own result is returned, and what the original raises reaches the
caller as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from mmtrace.patching.options import Options

Wrapper: TypeAlias = Callable[[Any, Any, tuple[Any, ...], dict[str, Any]], Any]
"""`wrapper(wrapped, instance, args, kwargs)`, as described above; `instance` is None for functions."""


@dataclass(frozen=True)
class Patch:
    """One place in a library and what runs there.

    `target` is `module:attribute` or `module:Class.method`. Exactly one of `wrapper` (runs around the original) and
    `replace` (makes the new attribute of the old one; for classes in C, which take no wrapped methods) is given.

    `subclasses`: also the method of every subclass, present or future, that defines its own or has it from a mixin; the
    base may lack it.
    `inner`: where the attribute is a descriptor that keeps the function in an attribute of its own, the name of that
    attribute; it is wrapped in place, so that the descriptor goes on deciding who has the method.
    `awaits`: whether the original is to be awaited; None asks `inspect.iscoroutinefunction`. Needed where a plain
    function returns a coroutine.
    `optional`: some supported versions lack the target; its absence is no failure.
    """

    target: str
    wrapper: Wrapper | None = None
    replace: Callable[[Any], Any] | None = None
    subclasses: bool = False
    inner: str = ""
    awaits: bool | None = None
    optional: bool = False

    def __post_init__(self) -> None:
        module, colon, path = self.target.partition(":")
        if not (module and colon and path):
            raise ValueError(f"a target is 'module:attribute' or 'module:Class.method', not {self.target!r}")
        if (self.wrapper is None) == (self.replace is None):
            raise ValueError(f"{self.target}: give either wrapper or replace")

    @property
    def module(self) -> str:
        """The module whose import makes the target exist."""
        return self.target.partition(":")[0]

    @property
    def path(self) -> str:
        """Where the target is in its module: `Class.method`."""
        return self.target.partition(":")[2]


@dataclass(frozen=True)
class Instrumentation:
    """All patches of one library.

    `library` is the name of its distribution, empty for the standard library. `versions` bounds what is supported:
    ">=2.31,<3". `superseded_by` names modules of OpenTelemetry instrumentors, `opentelemetry.instrumentation.requests`:
    where one of them has patched the library already, this one steps aside.
    """

    name: str
    library: str = ""
    versions: str = ""
    patches: tuple[Patch, ...] | Callable[[Options], tuple[Patch, ...]] = ()
    superseded_by: tuple[str, ...] = ()

    def patches_for(self, options: Options) -> tuple[Patch, ...]:
        """Return the patches to apply under `options`."""
        return self.patches(options) if callable(self.patches) else self.patches
