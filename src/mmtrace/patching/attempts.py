"""One attempt to instrument something: what it waits for, what it does then, and what became of it."""

import platform
from abc import abstractmethod
from types import ModuleType
from typing import Protocol

from mmtrace.patching.contrib import has_patched
from mmtrace.patching.hooks import is_importable
from mmtrace.patching.late import Holders
from mmtrace.patching.patch import Instrumentation, Patch
from mmtrace.patching.report import NOT_INSTALLED, Row, State
from mmtrace.patching.targets import MissingTarget, Place, apply
from mmtrace.patching.versions import installed_version, satisfies
from mmtrace.recording import guard


class Attempt(Protocol):
    """What the engine needs of anything that it applies to a module when that is imported."""

    @property
    @abstractmethod
    def module(self) -> str:
        """The module that it waits for."""

    @abstractmethod
    def run(self, module: ModuleType, *, late: bool) -> None:
        """Do it, now that `module` is imported; `late`: it was imported before anybody waited for it."""

    @abstractmethod
    def undo(self) -> None:
        """Restore what was there before."""

    @abstractmethod
    def superseded(self, module: str) -> None:
        """Give way to the instrumentor of `module`, which has begun to patch, where it does the same."""

    @abstractmethod
    def row(self, holders: Holders) -> Row:
        """Return what became of it."""


class PatchAttempt:
    """One patch of one instrumentation."""

    def __init__(self, instrumentation: Instrumentation, patch: Patch) -> None:
        self._instrumentation = instrumentation
        self._patch = patch
        self._state: State = "waiting"
        self._why = ""
        self._version = ""
        self._late = False
        self._places: list[Place] = []

    @property
    def module(self) -> str:
        """The module that the patch is for."""
        return self._patch.module

    def run(self, module: ModuleType, *, late: bool) -> None:
        """Apply the patch to `module`, and remember why not where it cannot be."""
        self._late = late
        self._version = self._version_in(module)
        self._state, self._why = self._verdict()
        if self._state != "waiting":
            return
        try:
            apply(self._patch, module, self._places)
            self._state = "patched"
        except Exception as error:
            self._failed(error)

    def _version_in(self, module: ModuleType) -> str:
        library = self._instrumentation.library
        if not library:
            return platform.python_version()
        return installed_version(library) or str(getattr(module, "__version__", ""))

    def _verdict(self) -> tuple[State, str]:
        wanted = self._instrumentation
        if not satisfies(self._version, wanted.versions):
            return "off", f"version {self._version} is not supported, {wanted.versions} is"
        for module in wanted.superseded_by:
            if has_patched(module):
                return "stepped aside", f"{module} has patched it"
        return "waiting", ""

    def _failed(self, error: Exception) -> None:
        missing = isinstance(error, MissingTarget)
        if missing and self._patch.optional:
            self._state, self._why = "off", "this version has no such thing"
            return
        self._state, self._why = "failed", str(error) if missing else repr(error)
        target = self._patch.target
        guard.report(f"patch of {target}", f"mmtrace: {target} is not traced: {self._why}", None if missing else error)

    def superseded(self, module: str) -> None:
        """Give way to the instrumentor of `module`, if the instrumentation declares that."""
        if module in self._instrumentation.superseded_by and self._state == "patched":
            self.undo()
            self._state, self._why = "stepped aside", f"{module} has patched it"

    def undo(self) -> None:
        """Put back what was there, the last change first."""
        while self._places:
            self._places.pop().undo()

    def row(self, holders: Holders) -> Row:
        """Return the state of the patch, with who holds what it could not reach."""
        state, why = self._state, self._why
        if state == "waiting" and self._instrumentation.library and not is_importable(self.module):
            state, why = "off", NOT_INSTALLED
        elif state == "patched" and self._late:
            names = sorted({name for place in self._places for name in holders.of(place)})
            if names:
                state, why = "too late", f"taken before it was patched: {', '.join(names)}"
        return Row(self._instrumentation.name, self._version, self._patch.target, state, why)
