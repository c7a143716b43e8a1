"""The cases that every instrumentation has to pass: what the engine promises, on the real library.

    class TestRequests(InstrumentationCases):
        instrumentation = requests_instrumentation

        def use(self):
            return requests.get(self.address).text

        def misuse(self):
            requests.get("http://127.0.0.1:1/")

A test class inherits them; pytest runs them as its own.
"""

import asyncio
import dataclasses
import gc
import importlib
import inspect
import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, ClassVar, Final

from opentelemetry.trace import NonRecordingSpan, NoOpTracer, SpanContext

from mmtrace.calls import telemetry
from mmtrace.calls.telemetry import Telemetry
from mmtrace.patching import Instrumentation, Options, Patch
from mmtrace.patching.engine import Engine
from mmtrace.patching.options import options, put_options
from mmtrace.recording import guard
from mmtrace.testing.recording import RecordedSpans, record_spans

_ABSENT: Final = object()


@contextmanager
def instrumented(
    *instrumentations: Instrumentation, chosen: Options | None = None, strict: bool = True
) -> Generator[Engine]:
    """Apply `instrumentations` inside the block, with an engine of their own; a fault of ours is raised if `strict`."""
    engine, before = Engine(), (options(), guard.strict)
    guard.strict = strict
    try:
        engine.instrument(instrumentations, chosen or Options())
        yield engine
    finally:
        engine.undo()
        put_options(before[0])
        guard.strict = before[1]


class InstrumentationCases:
    """Inherit, name the `instrumentation`, and say how its library is used."""

    instrumentation: ClassVar[Instrumentation]

    def use(self) -> Any:
        """Use the library once, through every patch if that is possible; return what can be compared. May be async."""
        raise NotImplementedError

    def misuse(self) -> Any:
        """Use the library so that it raises, always the same; by default nothing. May be async."""

    def test_every_target_is_there(self) -> None:
        """The installed version of the library has every place that is to be patched."""
        _import_all(self._patches())
        with instrumented(self.instrumentation) as engine:
            rows = engine.rows()
        optional = {patch.target for patch in self._patches() if patch.optional}
        reached = {row.target for row in rows if row.state in {"patched", "too late"}} | optional
        assert not {row for row in rows if row.target not in reached}

    def test_a_missing_target_is_reported(self) -> None:
        """A version of the library without a target is told of, and used as before."""
        gone = tuple(
            dataclasses.replace(patch, target=f"{patch.target}_gone", optional=False, subclasses=False)
            for patch in self._patches()
        )
        _import_all(self._patches())
        with instrumented(dataclasses.replace(self.instrumentation, patches=gone), strict=False) as engine:
            assert {row.state for row in engine.rows()} <= {"failed"}
            self._use()

    def test_undo_restores_every_attribute(self) -> None:
        """After undo the library holds the very objects that it came with."""
        before = self._attributes()
        with instrumented(self.instrumentation):
            pass
        after = self._attributes()
        changed = [target for target in before if before[target] is not after[target]]
        assert not changed, f"not restored: {changed}"

    def test_applied_twice_is_applied_once(self) -> None:
        """A second `instrument()` changes nothing."""
        with instrumented(self.instrumentation) as engine:
            first = self._attributes()
            engine.instrument([self.instrumentation], options())
            second = self._attributes()
        assert all(first[target] is second[target] for target in first)

    def test_signatures_are_those_of_the_library(self) -> None:
        """What asks a patched function for its signature gets the library's answer."""
        before = self._signatures()
        with instrumented(self.instrumentation):
            assert self._signatures() == before

    def test_results_are_those_of_the_library(self) -> None:
        """Traced or not, the library answers the same."""
        plain = self._use()
        with _recording(), instrumented(self.instrumentation):
            assert self._use() == plain

    def test_exceptions_are_those_of_the_library(self) -> None:
        """Traced or not, the library raises the same."""
        plain = self._raised()
        with _recording(), instrumented(self.instrumentation):
            assert self._raised() == plain

    def test_without_configuration_nothing_is_recorded_and_nothing_is_said(self) -> None:
        """A library that is instrumented before, or without, `configure()` works in silence."""
        with _log_lines() as lines, instrumented(self.instrumentation):
            self._use()
        assert lines == []

    def test_a_tracer_that_fails_does_not_reach_the_caller(self) -> None:
        """A fault in our code before the library runs changes nothing for the caller."""
        self._check_with(_BrokenTracer())

    def test_a_span_that_fails_does_not_reach_the_caller(self) -> None:
        """A fault in our code while and after the library runs changes nothing for the caller."""
        self._check_with(_TracerOfBrokenSpans())

    def _check_with(self, tracer: Any) -> None:
        plain, plain_error = self._use(), self._raised()
        before = telemetry.current
        telemetry.install(Telemetry(tracer))
        logging.disable()  # a record that is kept keeps the frames of the error that it tells of
        try:
            with instrumented(self.instrumentation, strict=False):
                assert self._use() == plain
                assert self._raised() == plain_error
                guard.forget()
                gc.collect()  # what is in cycles has to end here too, and not in a test to come
        finally:
            logging.disable(logging.NOTSET)
            telemetry.install(before)
            guard.forget()

    def _patches(self) -> tuple[Patch, ...]:
        return self.instrumentation.patches_for(options())

    def _attributes(self) -> dict[str, Any]:
        _import_all(self._patches())
        return {patch.target: _raw(patch.target) for patch in self._patches()}

    def _signatures(self) -> dict[str, Any]:
        return {patch.target: _signature(patch.target) for patch in self._patches() if patch.wrapper}

    def _use(self) -> Any:
        return _awaited(self.use())

    def _raised(self) -> tuple[Any, ...]:
        try:
            _awaited(self.misuse())
        except BaseException as error:  # whatever the library raises is to be compared
            return type(error), str(error)
        return ()


class _BrokenTracer(NoOpTracer):
    def start_span(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("a tracer that fails")


class _BrokenSpan(NonRecordingSpan):
    def is_recording(self) -> bool:
        return True

    def _fail(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("a span that fails")

    set_attribute = set_attributes = add_event = set_status = record_exception = update_name = end = _fail


class _TracerOfBrokenSpans(NoOpTracer):
    def start_span(self, *args: Any, **kwargs: Any) -> Any:
        return _BrokenSpan(SpanContext(1, 1, is_remote=False))


@contextmanager
def _recording() -> Generator[RecordedSpans]:
    with record_spans(deterministic=False) as recorded:
        yield recorded
        recorded.take()


@contextmanager
def _log_lines() -> Generator[list[str]]:
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    guard.say()
    guard.logger.addHandler(handler)
    try:
        yield lines
        guard.say()
    finally:
        guard.logger.removeHandler(handler)


def _awaited(result: Any) -> Any:
    return asyncio.run(_as_coroutine(result)) if inspect.isawaitable(result) else result


async def _as_coroutine(result: Any) -> Any:
    return await result


def _import_all(patches: tuple[Patch, ...]) -> None:
    for patch in patches:
        importlib.import_module(patch.module)


def _raw(target: str) -> Any:
    module, _, path = target.partition(":")
    owner: Any = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent, _ABSENT)  # an optional target, of another version
    return inspect.getattr_static(owner, name, _ABSENT)


def _signature(target: str) -> Any:
    try:
        return inspect.signature(_raw(target))
    except (TypeError, ValueError):
        return None
