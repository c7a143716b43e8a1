"""Instrumentors of the OpenTelemetry project: whether one has patched a library, and starting those that may."""

import sys
from typing import Any


def has_patched(module: str) -> bool:
    """Whether an instrumentor of `module`, such as `opentelemetry.instrumentation.requests`, is active."""
    found = sys.modules.get(module)
    return found is not None and any(_is_active(value) for value in vars(found).copy().values())


def _is_active(value: Any) -> bool:
    return isinstance(value, type) and value.__dict__.get("_instance") is not None and _instruments(value)


def _instruments(instrumentor: Any) -> bool:
    return bool(getattr(instrumentor._instance, "_is_instrumented_by_opentelemetry", False))
