"""What every call records with: replaced as a whole by `configure()`, the OpenTelemetry API's own until then."""

import json
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace import Tracer

from mmtrace import attributes as names
from mmtrace._version import __version__
from mmtrace.metrics import ModelMetrics
from mmtrace.recording.recorder import Redact


@dataclass(frozen=True, slots=True)
class ContentPolicy:
    """Whether and how far the content of calls is recorded; `limit` in characters."""

    on_spans: bool = False
    on_events: bool = False
    limit: int = 8192

    @property
    def on(self) -> bool:
        """Whether content is recorded at all."""
        return self.on_spans or self.on_events

    def text(self, value: Any) -> str:
        """Return `value`, or what it returns when it is a function, as bounded text."""
        content = value() if callable(value) else value
        text = content if isinstance(content, str) else json.dumps(content, default=str, ensure_ascii=False)
        return text[: self.limit]


def api_tracer() -> Tracer:
    """Return mmtrace's tracer of whichever provider is the global one."""
    return trace.get_tracer(names.SCOPE, __version__, schema_url=names.SCHEMA_URL)


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The tracer and the policies that calls follow; with `exemplars`, sampled calls may become examples on metrics.

    `service` is the name of the service, empty until `configure()`; `redact` is shown what log lines say.
    """

    tracer: Tracer = field(default_factory=api_tracer)
    content: ContentPolicy = field(default_factory=ContentPolicy)
    exemplars: bool = True
    service: str = ""
    redact: Redact | None = None


metrics: Final = ModelMetrics()
"""The aggregates of all model calls of this process; they exist before `configure()` so that no call is missed."""

at_first_call: Final[deque[Callable[[], object]]] = deque()
"""What the next counted call runs, once: it starts what sends metrics."""

process = object()
"""Stands for this process: another object in a forked child, where the parent's open calls are only copies."""

current = Telemetry()


def install(telemetry: Telemetry) -> None:
    """Let calls that start from now on record with `telemetry`."""
    global current  # noqa: PLW0603  # the one place where calls learn of a new configuration
    current = telemetry


def run_at_first_call() -> None:
    """Run what waits for the first call; of two calls that race, each runs a part."""
    while at_first_call:
        with suppress(IndexError):
            at_first_call.pop()()


def _start_over_in_child() -> None:
    global process  # noqa: PLW0603  # of this process
    process = object()


os.register_at_fork(after_in_child=_start_over_in_child)
