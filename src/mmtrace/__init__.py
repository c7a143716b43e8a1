"""Distributed tracing and latency metrics for multi-model pipelines.

    import mmtrace

    mmtrace.configure(service="reranker")
    mmtrace.instrument()

Names resolve on first use, so that `mmtrace.analysis` does not load the recorder.
"""

from typing import TYPE_CHECKING, Any

from mmtrace._version import __version__

if TYPE_CHECKING:
    from mmtrace._api import (
        aflush,
        ashutdown,
        attach,
        batch,
        carry,
        configure,
        enqueue,
        flush,
        inject,
        instrument,
        keep,
        model,
        model_call,
        pipeline,
        shutdown,
        span,
        stage,
        uninstrument,
    )

__all__ = [
    "__version__",
    "aflush",
    "ashutdown",
    "attach",
    "batch",
    "carry",
    "configure",
    "enqueue",
    "flush",
    "inject",
    "instrument",
    "keep",
    "model",
    "model_call",
    "pipeline",
    "shutdown",
    "span",
    "stage",
    "uninstrument",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'mmtrace' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module("mmtrace._api"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
