"""OTLP by either of its protocols; what speaks one is loaded by name, as gRPC is heavy and few processes use both."""

import importlib
from collections.abc import Mapping
from typing import Final

from mmtrace._version import __version__
from mmtrace.export.target import Target
from mmtrace.transport.signals import Exporter, Signal

PROTOCOLS: Final = {
    "http/protobuf": ("mmtrace.export.otlp_http", "OtlpHttp"),
    "grpc": ("mmtrace.export.otlp_grpc", "OtlpGrpc"),
}


def otlp(protocol: str, targets: Mapping[Signal, Target]) -> Exporter:
    """Return what sends each signal to its target by `protocol`.

    Raises ConfigurationError for a target that can never work.
    """
    module, name = PROTOCOLS[protocol]
    exporter: Exporter = getattr(importlib.import_module(module), name)(targets, agent=f"mmtrace/{__version__}")
    return exporter
