"""Instrumentors of the OpenTelemetry project: whether one has patched a library, and starting those that may.

Databases and the APIs of language models are theirs, where a package of theirs is installed; all other libraries are
ours. They begin when their library is imported, as ours do.
"""

import os
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, Final

from mmtrace.patching.hooks import is_importable
from mmtrace.patching.late import Holders
from mmtrace.patching.options import Options
from mmtrace.patching.report import NOT_INSTALLED, Row, State
from mmtrace.recording import guard

_GROUP: Final = "opentelemetry_instrumentor"
_GENAI: Final = "opentelemetry-instrumentation-genai-"
_OPT_IN: Final = "OTEL_SEMCONV_STABILITY_OPT_IN"
_STABLE_NAMES: Final = "http,database"
_NEXT_GENAI_NAMES: Final = "gen_ai_latest_experimental"

_DATABASES: Final = {
    "aiopg": "aiopg",
    "asyncpg": "asyncpg",
    "cassandra": "cassandra.cluster",
    "mysql": "mysql.connector",
    "mysqlclient": "MySQLdb",
    "psycopg": "psycopg",
    "psycopg2": "psycopg2",
    "pymemcache": "pymemcache",
    "pymongo": "pymongo",
    "pymssql": "pymssql",
    "pymysql": "pymysql",
    "redis": "redis",
    "sqlalchemy": "sqlalchemy",
    "sqlite3": "sqlite3",
    "tortoiseorm": "tortoise",
}
"""Their names of databases, and the module whose import they wait for."""

_LANGUAGE_MODELS: Final = {
    "bedrock": "boto3",
    "google-genai": "google.genai",
    "langchain": "langchain_core",
    "llama-index": "llama_index.core",
    "openai-agents": "agents",
}
"""Likewise, where the module's name is not the instrumentor's."""


def has_patched(module: str) -> bool:
    """Whether an instrumentor of `module`, such as `opentelemetry.instrumentation.requests`, is active."""
    found = sys.modules.get(module)
    return found is not None and any(_is_active(value) for value in vars(found).copy().values())


def _is_active(value: Any) -> bool:
    instance = value.__dict__.get("_instance") if isinstance(value, type) else None
    return bool(getattr(instance, "_is_instrumented_by_opentelemetry", False))


def prefer_stable_names(options: Options) -> None:
    """Ask their instrumentors for the standard names of today, unless the user has decided; they read it once."""
    names = f"{_STABLE_NAMES},{_NEXT_GENAI_NAMES}" if options.next_genai_names else _STABLE_NAMES
    os.environ.setdefault(_OPT_IN, names)


def installed(options: Options) -> Iterator["ContribAttempt"]:
    """Yield an attempt for each of their instrumentors that is installed, is for them to do, and is wanted."""
    for entry_point in entry_points(group=_GROUP):
        module = _module_of(entry_point)
        if module and options.is_on(entry_point.name):
            yield ContribAttempt(entry_point, module)


def _module_of(entry_point: EntryPoint) -> str:
    distribution = entry_point.dist.name.lower().replace("_", "-") if entry_point.dist else ""
    if not distribution.startswith(_GENAI):
        return _DATABASES.get(entry_point.name, "")
    name = distribution.removeprefix(_GENAI)
    return _LANGUAGE_MODELS.get(name, name.replace("-", "_"))


class ContribAttempt:
    """One instrumentor of theirs, started when its library is imported."""

    def __init__(self, entry_point: EntryPoint, module: str) -> None:
        self.name = entry_point.name
        self.module = module
        self._entry_point = entry_point
        self._instrumentor: Any = None
        self._state: State = "waiting"
        self._why = ""

    def run(self, module: ModuleType, *, late: bool) -> None:
        """Start the instrumentor, unless the application has done so or it does not support this version."""
        try:
            self._start(self._entry_point.load()())
        except Exception as error:
            self._state, self._why = "failed", repr(error)
            guard.report(f"contrib {self.name}", f"mmtrace: {self._entry_point.value} failed: {error!r}", error)

    def _start(self, instrumentor: Any) -> None:
        if instrumentor.is_instrumented_by_opentelemetry:
            self._state, self._why = "stepped aside", "the application has started it"
            return
        conflict = instrumentor._check_dependency_conflicts()
        if conflict:
            self._state, self._why = "off", str(conflict)
            return
        instrumentor.instrument(skip_dep_check=True)
        self._instrumentor = instrumentor
        self._state = "patched"

    def undo(self) -> None:
        """Stop the instrumentor, if it was started here."""
        if self._instrumentor is not None:
            self._instrumentor.uninstrument()
            self._instrumentor = None

    def superseded(self, module: str) -> None:
        """Nothing takes the place of their instrumentors."""

    def row(self, holders: Holders) -> Row:
        """Return what became of it."""
        version = self._entry_point.dist.version if self._entry_point.dist else ""
        if self._state == "waiting" and not is_importable(self.module):
            return Row(self.name, version, self._entry_point.value, "off", NOT_INSTALLED)
        return Row(self.name, version, self._entry_point.value, self._state, self._why)
