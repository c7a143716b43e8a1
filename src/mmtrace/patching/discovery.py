"""Finds instrumentations by entry point, ours and third parties' alike."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from mmtrace.patching.options import Options
from mmtrace.patching.patch import Instrumentation
from mmtrace.patching.report import Row
from mmtrace.recording import guard

GROUP: Final = "mmtrace.instrumentation"
"""The entry point group: its names are those of instrumentations, its values `package.module:instrumentation`."""


def discovered(options: Options) -> Iterator[Instrumentation | Row]:
    """Yield every wanted instrumentation, and a row of the report for each that is switched off or broken."""
    for entry_point in entry_points(group=GROUP):
        if options.is_on(entry_point.name):
            yield _loaded(entry_point)
        else:
            yield Row(entry_point.name, "", "", "off", "switched off")


def _loaded(entry_point: EntryPoint) -> Instrumentation | Row:
    try:
        found = entry_point.load()
        if not isinstance(found, Instrumentation):
            raise TypeError(f"{entry_point.value} is no Instrumentation")  # noqa: TRY301
        return found
    except Exception as error:
        message = (
            f"mmtrace: the instrumentation {entry_point.name} ({entry_point.value}) could not be loaded: {error!r}"
        )
        guard.report(f"instrumentation {entry_point.name}", message, error)
        return Row(entry_point.name, "", entry_point.value, "failed", repr(error))
