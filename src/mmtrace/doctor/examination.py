"""All checks, one after the other."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmtrace._version import __version__
from mmtrace.doctor import here
from mmtrace.doctor.destinations import destinations, examine
from mmtrace.doctor.findings import Report, Section
from mmtrace.doctor.probe import make_probe
from mmtrace.doctor.reading_back import read_back
from mmtrace.patching.options import Options
from mmtrace.settings import Settings
from mmtrace.transport import Signal


def run(environ: Mapping[str, str], options: Mapping[str, Any], *, query: str, wait: float, timeout: float) -> Report:
    """Return the report on a service with these variables, and with `options` in place of arguments.

    `query`: base address of what answers queries for traces, guessed if empty. `wait`: seconds for the probe to appear
    there. `timeout`: seconds for each request. Raises ConfigurationError for a wrong setting.
    """
    settings = Settings.load(environ, **options)
    sections = [here.of_settings(settings, environ, options), *_outside(settings, query, wait, timeout)]
    libraries = here.of_libraries(Options(frozenset(settings.instrument) or None, frozenset(settings.disable)))
    return Report(__version__, (*sections, here.of_spool(settings), libraries))


def _outside(settings: Settings, query: str, wait: float, timeout: float) -> Iterator[Section]:
    if settings.disabled:
        return
    probe = make_probe(settings)
    for destination in destinations(settings):
        section, arrived = examine(destination, probe, timeout)
        yield section
        if arrived and Signal.TRACES in destination.targets:
            yield read_back(destination, probe, query, wait)
