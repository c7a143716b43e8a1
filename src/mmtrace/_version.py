"""The version of mmtrace, for its own telemetry and for the wheel."""

__version__ = "0.1.0"
