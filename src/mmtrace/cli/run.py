"""Run a program with every supported library traced, without a change of the program.

    mmtrace run python serve.py
    mmtrace run --service reranker -m uvicorn app:app
    mmtrace run --report gunicorn app:app

The options stand before the program; what follows it is its own. Each option is a setting, as the variable of the same
name is: --service is MMTRACE_SERVICE. Python programs that the program starts are traced as well. The program is looked
for beside mmtrace first, so that `python` is the interpreter that has mmtrace.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mmtrace.errors import CommandError
from mmtrace.settings import TABLE, Settings

_NOT_OPTIONS: Final = {"auto", "report"}
"""Settings that this command makes itself."""

_DEFAULTS: Final = {"UWSGI_PY_CALL_UWSGI_FORK_HOOKS": "1"}
"""What a program needs to be told so that its forks are seen; uWSGI forks in C."""

_OPTIONS: Final = {row.name: row.variables[0].name for row in TABLE if row.variables and row.name not in _NOT_OPTIONS}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an option for each setting, and the program."""
    parser.usage = (
        "mmtrace run [OPTIONS] PROGRAM [ARGUMENTS ...]\n       mmtrace run [OPTIONS] -m MODULE [ARGUMENTS ...]"
    )
    unset = argparse.SUPPRESS
    parser.add_argument(
        "--report", action="store_true", default=unset, help="Say on standard error what was patched, at the end."
    )
    for row in TABLE:
        if row.name in _OPTIONS:
            option = f"--{row.name.replace('_', '-')}"
            parser.add_argument(option, metavar="VALUE", default=unset, help=row.help.replace("%", "%%"))
    parser.add_argument(
        "-m",
        dest="module",
        metavar="MODULE",
        nargs=argparse.REMAINDER,
        default=unset,
        help="Run a module, as python -m.",
    )
    parser.add_argument("program", nargs=argparse.REMAINDER, default=unset, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Become the program; returns only if that fails, with CommandError."""
    command = _command(arguments)
    environment = _environment(arguments, os.environ)
    Settings.load(environment)
    program = command[0] = _found(command[0])  # by its whole path: an interpreter finds its environment by it
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(program, command, environment)  # noqa: S606 - the program that the user names
    except OSError as error:
        raise CommandError(f"{program} cannot be run: {error.strerror}") from None


def _command(arguments: argparse.Namespace) -> list[str]:
    if "module" in arguments:
        command = [sys.executable, "-m", *arguments.module]
        if not arguments.module:
            raise CommandError("-m takes the name of a module (see mmtrace run --help)", 2)
        return command
    program = list(arguments.program)
    if program[:1] == ["--"]:
        del program[0]
    if not program:
        raise CommandError("name the program to run (see mmtrace run --help)", 2)
    return program


def _environment(arguments: argparse.Namespace, given: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the program: those that are `given`, and the options."""
    options = {variable: getattr(arguments, name) for name, variable in _OPTIONS.items() if name in arguments}
    report = {"MMTRACE_REPORT": "-"} if "report" in arguments else {}
    return {**_DEFAULTS, **given, **options, **report, "MMTRACE_AUTO": "1"}


def _found(program: str) -> str:
    beside = str(Path(sys.executable).parent)
    found = shutil.which(program, path=os.pathsep.join((beside, os.environ.get("PATH", os.defpath))))
    if found is None:
        raise CommandError(f"there is no program {program!r}", 2)
    return found
