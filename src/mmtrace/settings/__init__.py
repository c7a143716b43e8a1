"""Settings of a process, from arguments, the environment and defaults."""

from mmtrace.settings.kinds import Endpoint
from mmtrace.settings.rows import PerSignal, Setting, Variable, as_markdown
from mmtrace.settings.table import TABLE, Settings

__all__ = ["TABLE", "Endpoint", "PerSignal", "Setting", "Settings", "Variable", "as_markdown"]
