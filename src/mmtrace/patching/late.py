"""Who holds a reference that was taken before a patch, and goes on calling the original."""

import inspect
import sys
from collections.abc import Iterable
from types import MethodType, ModuleType
from typing import Any

from mmtrace.patching.targets import Place


class Holders:
    """The names by which modules hold functions, methods and classes; scanned once, when first asked for."""

    def __init__(self) -> None:
        self._names: dict[int, list[tuple[str, str]]] | None = None

    def of(self, place: Place) -> Iterable[str]:
        """Return `module.name` for everything outside the library itself that holds what `place` replaced."""
        if self._names is None:
            self._names = _scan()
        original = inspect.unwrap(getattr(place.original, "__func__", place.original))
        own = getattr(place.owner, "__module__", None) or place.owner.__name__
        library = {_top(own), _top(getattr(original, "__module__", None) or own)}
        for module, name in (*self._names.get(id(original), ()), *_subclasses(place)):
            if _top(module) not in library:
                yield f"{module}.{name}"


def _subclasses(place: Place) -> Iterable[tuple[str, str]]:
    """Return the classes that were derived from a class before another one was put in its place."""
    if not isinstance(place.original, type) or place.original is place.current:
        return ()
    derived: list[type] = type.__subclasses__(place.original)
    return [(cls.__module__, cls.__qualname__) for cls in derived if cls is not place.current]


def _scan() -> dict[int, list[tuple[str, str]]]:
    names: dict[int, list[tuple[str, str]]] = {}
    for module_name, module in sys.modules.copy().items():
        if isinstance(module, ModuleType):
            for name, value in vars(module).copy().items():
                names.setdefault(id(_function(value)), []).append((module_name, name))
    return names


def _function(value: Any) -> Any:
    return value.__func__ if type(value) is MethodType else value


def _top(module: str) -> str:
    return module.partition(".")[0]
