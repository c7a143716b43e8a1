"""Tracing for multi-model pipelines."""
__version__ = "0.1.0"
