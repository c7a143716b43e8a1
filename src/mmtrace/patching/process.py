"""The instrumentations of this process: everything that entry points offer, applied once and reported together."""

from typing import Final

from mmtrace.patching import contrib
from mmtrace.patching.discovery import discovered
from mmtrace.patching.engine import Engine
from mmtrace.patching.options import Options
from mmtrace.patching.report import Row, render

_engine: Final = Engine()


def instrument(options: Options) -> None:
    """Patch every library that an installed instrumentation knows, imported already or later. Never raises."""
    for found in discovered(options):
        if isinstance(found, Row):
            _engine.drop(found.library)
            _engine.note(found)
        else:
            _engine.instrument([found], options)
    _start_contrib(options)


def _start_contrib(options: Options) -> None:
    attempts = [attempt for attempt in contrib.installed(options) if not _engine.has(f"contrib {attempt.name}")]
    if attempts:
        contrib.prefer_stable_names(options)
    for attempt in attempts:
        _engine.start(f"contrib {attempt.name}", [attempt])


def uninstrument() -> None:
    """Restore every library."""
    _engine.undo()


def rows() -> tuple[Row, ...]:
    """Return what became of every patch until now."""
    return _engine.rows()


def report() -> str:
    """Return what became of every patch until now, as a table of text."""
    return render(rows())
