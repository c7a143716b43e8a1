"""Settings of a process, from arguments, the environment and defaults."""

from mmtrace.settings.table import TABLE, PerSignal, Setting, Settings, Variable, as_markdown

__all__ = ["TABLE", "PerSignal", "Setting", "Settings", "Variable", "as_markdown"]
