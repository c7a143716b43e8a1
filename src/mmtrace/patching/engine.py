"""Applies instrumentations as their libraries are imported, undoes them, and knows what became of each patch."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import partial
from types import ModuleType
from typing import Any

from mmtrace.patching.attempts import Attempt, PatchAttempt
from mmtrace.patching.hooks import ImportHooks
from mmtrace.patching.late import Holders
from mmtrace.patching.options import Options, put_options
from mmtrace.patching.patch import Instrumentation, Patch
from mmtrace.patching.report import Row
from mmtrace.recording import guard

_INSTRUMENTOR = "opentelemetry.instrumentation.instrumentor:BaseInstrumentor.instrument"


class Engine:
    """The instrumentations of a process; `instrument` may be called again, with other options or for more."""

    def __init__(self) -> None:
        self._hooks = ImportHooks()
        self._attempts: dict[str, Sequence[Attempt]] = {}
        self._notes: dict[str, Row] = {}
        self._watch = PatchAttempt(Instrumentation("contrib"), Patch(_INSTRUMENTOR, self._instrumentor_began))

    def instrument(self, instrumentations: Iterable[Instrumentation], options: Options) -> None:
        """Apply each that is wanted and not applied yet; undo those that are not wanted any more."""
        put_options(options)
        self._start_watching()
        for instrumentation in instrumentations:
            name = instrumentation.name
            if not options.is_on(name):
                self.drop(name)
                self.note(Row(name, "", "", "off", "switched off"))
            elif name not in self._attempts:
                self._notes.pop(name, None)
                self.start(name, self._attempts_of(instrumentation, options))

    def start(self, name: str, attempts: Sequence[Attempt]) -> None:
        """Run `attempts` when their modules are imported, at once where they are; the report lists them."""
        self._attempts[name] = [*self._attempts.get(name, ()), *attempts]
        for attempt in attempts:
            self._wait_for(attempt)

    def has(self, name: str) -> bool:
        """Whether something runs or waits under `name`."""
        return name in self._attempts

    def drop(self, name: str) -> None:
        """Undo what runs under `name`."""
        for attempt in reversed(self._attempts.pop(name, ())):
            attempt.undo()

    def note(self, row: Row) -> None:
        """Add to the report what there is to say of an instrumentation that was not started."""
        self._notes[row.library] = row

    def undo(self) -> None:
        """Restore every attribute and forget every hook."""
        self._hooks.clear()
        for name in reversed(self._attempts.copy()):
            self.drop(name)
        self._watch.undo()
        self._notes.clear()

    def rows(self) -> tuple[Row, ...]:
        """Return what became of every patch until now."""
        holders = Holders()
        return (*(attempt.row(holders) for attempt in self._all()), *self._notes.values())

    def _attempts_of(self, instrumentation: Instrumentation, options: Options) -> Sequence[Attempt]:
        try:
            return [PatchAttempt(instrumentation, patch) for patch in instrumentation.patches_for(options)]
        except Exception as error:
            guard.report(f"patches of {instrumentation.name}", f"mmtrace: {instrumentation.name} failed", error)
            self.note(Row(instrumentation.name, "", "", "failed", repr(error)))
            return ()

    def _wait_for(self, attempt: Attempt) -> None:
        early = self._hooks.is_imported(attempt.module)
        self._hooks.when_imported(attempt.module, partial(self._imported, attempt, late=early))

    @guard.never_raises
    def _imported(self, attempt: Attempt, module: ModuleType, *, late: bool) -> None:
        if any(attempt is known for known in self._all()) or attempt is self._watch:
            attempt.run(module, late=late)

    def _start_watching(self) -> None:
        """Learn of instrumentors of the OpenTelemetry project that begin to patch after us."""
        if not self._hooks.is_waiting_for(self._watch.module):
            self._wait_for(self._watch)

    def _instrumentor_began(
        self, wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Generator[None, None, None]:
        yield
        if instance.is_instrumented_by_opentelemetry:
            for attempt in self._all():
                attempt.superseded(type(instance).__module__)

    def _all(self) -> Iterator[Attempt]:
        for attempts in tuple(self._attempts.values()):
            yield from attempts
