import textwrap

import pytest

from processes import programs


@pytest.fixture
def start(tmp_path):
    """Starts a program, whatever is left of it at the end of the test is killed."""
    started = []

    def start(command, environment, kind=programs.Program):
        program = kind(command, environment, tmp_path)
        started.append(program)
        return program

    yield start
    for program in started:
        program.kill()


@pytest.fixture
def write(tmp_path):
    """Writes a file for programs and returns its path."""

    def write(source, name="program.py"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(source))
        return str(path)

    return write
