"""Applies instrumentations as their libraries are imported, undoes them, and knows what became of each patch.

This module loads wrapt and scans the installed distributions: it is loaded by `instrument()` and by nothing before it.
"""

import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType

from mmtrace.patching.contrib import has_patched
from mmtrace.patching.hooks import ImportHooks, is_importable
from mmtrace.patching.late import Holders
from mmtrace.patching.options import Options, put_options
from mmtrace.patching.patch import Instrumentation, Patch
from mmtrace.patching.report import NOT_INSTALLED, Row, State
from mmtrace.patching.targets import MissingTarget, Place, apply
from mmtrace.patching.versions import installed_version, satisfies
from mmtrace.recording import guard


@dataclass(eq=False)
class _Attempt:
    """One patch of one instrumentation and what became of it."""

    instrumentation: Instrumentation
    patch: Patch
    state: State = "waiting"
    why: str = ""
    version: str = ""
    imported_before: bool = False
    places: list[Place] = field(default_factory=list)

    def run(self, module: ModuleType) -> None:
        """Apply the patch to `module`, and remember why not where it cannot be."""
        self.version = _version_of(self.instrumentation, module)
        self.state, self.why = self._verdict()
        if self.state != "waiting":
            return
        try:
            self.places += apply(self.patch, module)
            self.state = "patched"
        except Exception as error:
            self._failed(error)

    def _verdict(self) -> tuple[State, str]:
        wanted = self.instrumentation
        if not satisfies(self.version, wanted.versions):
            return "off", f"version {self.version} is not supported, {wanted.versions} is"
        for module in wanted.superseded_by:
            if has_patched(module):
                return "stepped aside", f"{module} has patched it"
        return "waiting", ""

    def _failed(self, error: Exception) -> None:
        missing = isinstance(error, MissingTarget)
        if missing and self.patch.optional:
            self.state, self.why = "off", "this version has no such thing"
            return
        if guard.strict and not isinstance(error, (MissingTarget, TypeError)):
            raise error
        self.state, self.why = "failed", str(error) if missing else repr(error)
        target = self.patch.target
        guard.report(f"patch of {target}", f"mmtrace: {target} is not traced: {self.why}", None if missing else error)

    def undo(self) -> None:
        """Put back what was there, the last change first."""
        while self.places:
            self.places.pop().undo()

    def row(self, holders: Holders) -> Row:
        """Return the state of this patch, with who holds what it could not reach."""
        state, why = self.state, self.why
        if state == "waiting" and not _is_installed(self.instrumentation, self.patch):
            state, why = "off", NOT_INSTALLED
        elif state == "patched" and self.imported_before:
            names = sorted({name for place in self.places for name in holders.of(place)})
            if names:
                state, why = "too late", f"taken before it was patched: {', '.join(names)}"
        return Row(self.instrumentation.name, self.version, self.patch.target, state, why)


class Engine:
    """The instrumentations of this process; `instrument` may be called again, with other options or for more."""

    def __init__(self) -> None:
        self._hooks = ImportHooks()
        self._attempts: dict[str, list[_Attempt]] = {}
        self._others: list[Row] = []

    def instrument(self, instrumentations: Iterable[Instrumentation], options: Options) -> None:
        """Apply each that is wanted and not applied yet; undo those that are not wanted any more."""
        put_options(options)
        for instrumentation in instrumentations:
            if not options.is_on(instrumentation.name):
                self._drop(instrumentation.name)
                self.note(Row(instrumentation.name, "", "", "off", "switched off"))
            elif instrumentation.name not in self._attempts:
                self._start(instrumentation, options)

    def note(self, row: Row) -> None:
        """Add to the report what this engine does not patch itself; a later row of the same target replaces it."""
        self._others = [other for other in self._others if (other.library, other.target) != (row.library, row.target)]
        self._others.append(row)

    def when_imported(self, module: str, hook: Callable[[ModuleType], None]) -> None:
        """Call `hook` when `module` is imported, at once if it is."""
        self._hooks.when_imported(module, hook)

    def undo(self) -> None:
        """Restore every attribute and forget every hook."""
        self._hooks.clear()
        for name in tuple(self._attempts):
            self._drop(name)
        self._others.clear()

    def rows(self) -> tuple[Row, ...]:
        """Return what became of every patch until now."""
        holders = Holders()
        return (*(attempt.row(holders) for attempt in self._all()), *self._others)

    def _start(self, instrumentation: Instrumentation, options: Options) -> None:
        attempts = self._attempts[instrumentation.name] = []
        try:
            attempts += [_Attempt(instrumentation, patch) for patch in instrumentation.patches_for(options)]
        except Exception as error:
            if guard.strict:
                raise
            self.note(Row(instrumentation.name, "", "", "failed", repr(error)))
        for attempt in attempts:
            self._hooks.when_imported(attempt.patch.module, partial(self._imported, attempt))
            attempt.imported_before = attempt.state != "waiting"

    def _imported(self, attempt: _Attempt, module: ModuleType) -> None:
        if attempt in self._attempts.get(attempt.instrumentation.name, ()):
            attempt.run(module)

    def _drop(self, name: str) -> None:
        for attempt in reversed(self._attempts.pop(name, [])):
            attempt.undo()

    def _all(self) -> Iterator[_Attempt]:
        for attempts in self._attempts.values():
            yield from attempts


def _version_of(instrumentation: Instrumentation, module: ModuleType) -> str:
    if not instrumentation.library:
        return platform.python_version()
    return installed_version(instrumentation.library) or str(getattr(module, "__version__", ""))


def _is_installed(instrumentation: Instrumentation, patch: Patch) -> bool:
    return not instrumentation.library or is_importable(patch.module)
