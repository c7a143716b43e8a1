"""Import hooks: something runs when a module has been imported, at once if it is there already, and not after undo.

One finder stands first on `sys.meta_path` while anything waits. It asks the other finders for the module's spec and
lends the spec a loader of ours, which gives the real loader back before the module runs: what the module, `inspect` and
`importlib.resources` see afterwards is as if we had not been there.
"""

import importlib.util
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, cast

Hook = Callable[[ModuleType], None]


class _Loader(Loader):
    """Stands in a spec for the `real` loader until the module runs."""

    def __init__(self, real: Loader, loaded: Hook) -> None:
        self._real = real
        self._loaded = loaded

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._real
        if module.__spec__ is not None:
            module.__spec__.loader = self._real
        self._real.exec_module(module)
        self._loaded(module)


class ImportHooks(MetaPathFinder):
    """Hooks by module name. They are called on the thread that imports, and must not raise."""

    def __init__(self) -> None:
        self._hooks: dict[str, list[Hook]] = {}
        self._searching = threading.local()

    def when_imported(self, name: str, hook: Hook) -> None:
        """Call `hook` with the module `name` now if it is imported, and whenever it is imported or reloaded later."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        self._hooks.setdefault(name, []).append(hook)
        module = sys.modules.get(name)
        if module is not None:
            hook(module)

    @staticmethod
    def is_imported(name: str) -> bool:
        """Whether the module `name` is there already."""
        return name in sys.modules

    def is_waiting_for(self, name: str) -> bool:
        """Whether there is a hook for the module `name`."""
        return name in self._hooks

    def clear(self) -> None:
        """Forget every hook and leave `sys.meta_path`."""
        self._hooks.clear()
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec that the other finders have for a module that is waited for, with our loader in it."""
        if fullname not in self._hooks or fullname in self._names_in_search():
            return None
        self._names_in_search().add(fullname)
        try:
            spec = self._found_elsewhere(fullname, path, target)
        finally:
            self._names_in_search().discard(fullname)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _Loader(cast("Loader", spec.loader), self._loaded)
        return spec

    def _found_elsewhere(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(fullname, path, target) if find and finder is not self else None
            if spec is not None:
                return spec
        return None

    def _names_in_search(self) -> set[str]:
        names: set[str] = self._searching.__dict__.setdefault("names", set())
        return names

    def _loaded(self, module: ModuleType) -> None:
        for hook in tuple(self._hooks.get(module.__name__, ())):
            hook(module)


def is_importable(module: str) -> bool:
    """Whether the top-level package of `module` is imported or can be found, without importing anything."""
    top = module.partition(".")[0]
    try:
        return top in sys.modules or importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        return False
