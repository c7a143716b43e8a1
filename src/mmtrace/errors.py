"""The exceptions of mmtrace.

    MMTraceError
    ├── ConfigurationError    a setting, an argument or an option is wrong (also a ValueError)
    ├── DecodeError           bytes that are not what they claim to be (also a ValueError)
    │   └── TooLarge          ... or more of them than the limit allows
    └── CommandError          a command cannot do what was asked; `exit_code` says how the process ends

Telemetry itself raises none of them after `configure()`: they are for configuration, for decoding and for commands.
"""

import importlib
from collections.abc import Iterable


class MMTraceError(Exception):
    """The root of everything that mmtrace raises."""


class ConfigurationError(MMTraceError, ValueError):
    """A setting, an argument or an option is wrong; the message names the nearest valid choice."""


class DecodeError(MMTraceError, ValueError):
    """Bytes that are not a valid message of the kind they claim to be."""


class TooLarge(DecodeError):
    """A message, or what it expands to, is larger than the limit."""


class CommandError(MMTraceError):
    """A command failed; `exit_code` is 2 for wrong usage and 1 for anything else."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def nearest(value: str, choices: Iterable[str]) -> str:
    """Return the end of an error message that names the valid choice nearest to `value`.

    >>> nearest("otpl", ["otlp", "console"])
    "did you mean 'otlp'? Valid: console, otlp"
    """
    known = sorted(set(choices))
    close = importlib.import_module("difflib").get_close_matches(value, known, n=1, cutoff=0.5)
    listed = ", ".join(known)
    return f"did you mean {close[0]!r}? Valid: {listed}" if close else f"valid: {listed}"
