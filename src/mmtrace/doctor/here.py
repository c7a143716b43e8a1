"""What is to be said of this side: the settings in force, the libraries, and what waits on disk."""

import difflib
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from mmtrace.doctor.findings import Finding, Section
from mmtrace.patching.discovery import discovered
from mmtrace.patching.options import Options
from mmtrace.patching.patch import Instrumentation
from mmtrace.patching.report import Row, table
from mmtrace.patching.versions import installed_version, satisfies
from mmtrace.recording import guard
from mmtrace.settings import TABLE, Endpoint, Setting, Settings
from mmtrace.transport import Signal

_HIDDEN: Final = "(hidden)"
_STANDARD: Final = "OTEL_"
_COLUMNS: Final = ("library", "version", "state", "why")


# --- settings ---------------------------------------------------------------------------------------------------------


def of_settings(settings: Settings, environ: Mapping[str, str], options: Mapping[str, Any]) -> Section:
    """Return the settings that are not defaults, each with where it comes from, and what is wrong with them."""
    rows = list(_in_force(settings, environ, options))
    findings = (*_suspicious(settings), *_misspelt(environ), *_refused())
    lines = tuple(table([("setting", "value", "from"), *rows])) if rows else ("all are at their defaults",)
    facts = {name: {"value": value, "from": source} for name, value, source in rows}
    return Section("Settings in force", findings, lines, facts)


def _in_force(
    settings: Settings, environ: Mapping[str, str], options: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    for row in TABLE:
        given = options.get(row.name)
        if not row.per_signal:
            yield from _row(row, row.name, getattr(settings, row.name), row.sources(environ, given), given)
            continue
        each = {
            signal: (getattr(settings, row.name)[signal], row.sources(environ, given, signal.name)) for signal in Signal
        }
        alike = len({str(said) for said in each.values()}) == 1
        for signal, (value, sources) in each.items():
            if not alike or signal is Signal.TRACES:
                name = row.name if alike else f"{row.name} of {signal.label}"
                yield from _row(row, name, value, sources, given)


def _row(
    row: Setting, name: str, value: object, sources: tuple[str, ...], given: object
) -> Iterator[tuple[str, str, str]]:
    if sources:
        shown = [f"--{row.name.replace('_', '-')}" if source == row.name and given else source for source in sources]
        yield name, _shown(row, value), ", ".join(shown)


def _shown(row: Setting, value: object) -> str:
    if row.secret:
        return f"{', '.join(value)} {_HIDDEN}" if isinstance(value, Mapping) else _HIDDEN
    if isinstance(value, Endpoint):
        parts = urlsplit(value.url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
    if isinstance(value, Mapping):
        return ",".join(f"{key}={item}" for key, item in value.items())
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _suspicious(settings: Settings) -> Iterator[Finding]:
    if settings.disabled:
        yield Finding("problem", "nothing is recorded", "Remove MMTRACE_DISABLED or OTEL_SDK_DISABLED")
    if settings.sampler in {"always_off", "parentbased_always_off"}:
        yield Finding(
            "problem", f"the sampler {settings.sampler} leaves out every trace", "OTEL_TRACES_SAMPLER sets it"
        )
    if settings.service_name == "unknown_service":
        yield Finding("note", "the service has no name", "OTEL_SERVICE_NAME or configure(service=...) gives it one")
    if not settings.traces_exporter:
        yield Finding("problem", "spans go nowhere", "OTEL_TRACES_EXPORTER is none")
    elif "otlp" not in settings.traces_exporter:
        yield Finding("note", f"spans go to {', '.join(settings.traces_exporter)} only, by no network")


def _misspelt(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield standard variables that nothing reads and that look like one that something does."""
    known = {variable.name.format(SIGNAL=signal) for row in TABLE for variable in row.variables for signal in _SIGNALS}
    for name in sorted(environ.keys() - known):
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.9) if name.startswith(_STANDARD) else ()
        if close:
            yield Finding("problem", f"nothing reads {name}", f"Did you mean {close[0]}?")


_SIGNALS: Final = tuple(signal.name for signal in Signal)


def _refused() -> Iterator[Finding]:
    """Yield what was wrong with standard variables, which are then left out, as their specification asks for."""
    for message in guard.take():
        yield Finding("problem", message.removeprefix("mmtrace: "))


# --- libraries --------------------------------------------------------------------------------------------------------


def of_libraries(options: Options) -> Section:
    """Return which of the supported libraries are here, and in a version that is supported."""
    rows: list[tuple[str, ...]] = []
    absent, findings = [], []
    for found in discovered(options):
        if isinstance(found, Row):
            rows.append((found.library, "", found.state, found.why))
            continue
        version = installed_version(found.library) if found.library else ""
        if found.library and not version:
            absent.append(found.name)
            continue
        state, why = _state(found, version)
        rows.append((found.name, version, state, why))
        if state == "not patched":
            findings.append(Finding("note", f"{found.name} {version} is not patched: {why}"))
    lines = table([_COLUMNS, *sorted(rows)])
    if absent:
        lines.append(f"not installed: {', '.join(sorted(set(absent)))}")
    lines.append("In a program, `mmtrace run --report` says what was patched, and what was too late.")
    return Section(
        "Libraries", tuple(findings), tuple(lines), {row[0]: dict(zip(_KEYS, row, strict=True)) for row in rows}
    )


_KEYS: Final = ("library", "version", "state", "why")


def _state(found: Instrumentation, version: str) -> tuple[str, str]:
    if version and not satisfies(version, found.versions):
        return "not patched", f"{found.versions} is supported"
    return "patched when imported", ""


# --- what waits on disk -----------------------------------------------------------------------------------------------


def of_spool(settings: Settings) -> Section:
    """Return what waits on disk for the receiver."""
    folder = settings.spool_folder
    if settings.spool == "off" or folder is None:
        return Section("On disk", lines=("nothing is kept on disk",))
    files = list(_files(folder))
    lines = [f"{settings.spool}: {folder}"]
    findings: list[Finding] = []
    waiting = sum(size for path, size, _ in files if not path.name.endswith(".damaged"))
    if waiting:
        age = time.time() - min(changed for _, _, changed in files)
        lines.append(f"{waiting:,} bytes wait in {len(files)} files, the longest for {age / 60:.0f} min")
    damaged = [path.name for path, _, _ in files if path.name.endswith(".damaged")]
    if damaged:
        findings.append(Finding("note", f"{len(damaged)} damaged files are set aside: {', '.join(damaged)}"))
    if waiting >= settings.spool_max_bytes * 0.9:
        findings.append(
            Finding("problem", "the folder is full: the oldest makes way", "The receiver must be reachable")
        )
    return Section("On disk", tuple(findings), tuple(lines), {"folder": str(folder), "bytes": waiting})


def _files(folder: Path) -> Iterable[tuple[Path, int, float]]:
    try:
        return [(path, path.stat().st_size, path.stat().st_mtime) for path in folder.iterdir()]
    except OSError:
        return []
