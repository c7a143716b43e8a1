"""What every command prints, where nobody reads it to the end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmtrace.cli import command_names

MMTRACE = str(Path(sys.executable).with_name("mmtrace"))


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [[], ["--version"], ["doctor"], *([name, "--help"] for name in command_names())])
def test_a_command_ends_quietly_when_nobody_reads(arguments, unbuffered, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing) as pipe:
        done = subprocess.run(
            [MMTRACE, *arguments], stdout=pipe, stderr=subprocess.PIPE, text=True, check=False, timeout=300
        )
    assert done.stderr == ""
    assert done.returncode == 141 or (done.returncode == 0 and "--help" in arguments)  # argparse takes it for read


def test_a_command_whose_output_is_read_ends_with_its_own_exit_code():
    done = subprocess.run([MMTRACE], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 2
    assert "mmtrace COMMAND" in done.stdout
