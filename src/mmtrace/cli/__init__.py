"""mmtrace: distributed tracing and latency metrics for multi-model pipelines."""

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Final

from mmtrace._version import __version__
from mmtrace.errors import CommandError, ConfigurationError, nearest

_NOBODY_READS: Final = 128 + 13
"""What a shell says of a program that SIGPIPE has ended."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` names and return the exit code: 0, 1 for a failure, 2 for wrong usage.

    Where nobody reads its output to the end, as in `mmtrace doctor | head -1`, it ends with 141, as other programs do.
    """
    try:
        try:
            return _exit_code(list(sys.argv[1:] if argv is None else argv))
        finally:
            if sys.stdout is not None:  # closed, as `>&-` does
                sys.stdout.flush()
    except BrokenPipeError:
        _write_nowhere()
        return _NOBODY_READS


def _write_nowhere() -> None:
    """Let what is flushed when the process ends go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _exit_code(arguments: list[str]) -> int:
    try:
        return _run(arguments)
    except CommandError as error:
        return _fail(error, error.exit_code)
    except ConfigurationError as error:
        return _fail(error, 2)
    except KeyboardInterrupt:
        return 130


def _run(arguments: list[str]) -> int:
    if arguments[:1] == ["--version"]:
        print(f"mmtrace {__version__}")
        return 0
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(_overview())
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in command_names():
        raise CommandError(f"there is no command {name!r}; {nearest(name, command_names())}", 2)
    command = load(name)
    parser = _Parser(prog=f"mmtrace {name}", description=command.__doc__, formatter_class=_HelpFormatter)
    command.add_arguments(parser)
    return int(command.run(parser.parse_args(rest)))


def command_names() -> tuple[str, ...]:
    """Return the names of all commands: the modules of this package."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")))


def load(name: str) -> ModuleType:
    """Return the module of the command `name`; its docstring is the command's help."""
    return importlib.import_module(f"{__name__}.{name}")


def load_from_extra(module: str, extra: str) -> ModuleType:
    """Return `module`, whose packages come with `extra`.

    Raises CommandError that says how to install them.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise CommandError(f"{error.name} is missing; install it with: pip install 'mmtrace[{extra}]'") from error


def _overview() -> str:
    commands = [f"  {name:<10}{(load(name).__doc__ or '').splitlines()[0]}" for name in command_names()]
    head = [__doc__ or "", "", "usage: mmtrace COMMAND [OPTIONS]", ""]
    return "\n".join([*head, *commands, "", "mmtrace COMMAND --help tells more."])


def _fail(error: Exception, exit_code: int) -> int:
    print(f"mmtrace: {error}", file=sys.stderr)
    return exit_code


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of a docstring, and shows defaults where there are some."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        shown = action.default not in (None, argparse.SUPPRESS, [], False) and "default" not in (action.help or "")
        return f"{action.help} (default: %(default)s)" if shown else action.help


class _Parser(argparse.ArgumentParser):
    """Says a mistake in one line, as all commands do."""

    def error(self, message: str) -> "None":  # type: ignore[override]  # raises instead of leaving the process
        raise CommandError(f"{message} (see {self.prog} --help)", 2)
