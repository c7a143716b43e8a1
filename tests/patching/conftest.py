import itertools
import sys
import textwrap

import pytest

from mmtrace.patching.engine import Engine
from mmtrace.patching.options import Options, options, put_options
from mmtrace.patching.patch import Instrumentation
from mmtrace.recording import guard

_numbers = itertools.count()


@pytest.fixture
def engine():
    before = options()
    made = Engine()
    yield made
    made.undo()
    put_options(before)


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Writes a module that nobody has imported yet, and returns its name."""
    monkeypatch.syspath_prepend(tmp_path)
    written = []

    def write(source, name=None):
        name = name or f"library_{next(_numbers)}"
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
        written.append(name)
        return name

    yield write
    for name in written:
        sys.modules.pop(name, None)


@pytest.fixture
def patched(engine):
    """Applies patches and returns their states by target."""

    def apply(*patches, **declared):
        name = declared.pop("name", "it")
        engine.instrument([Instrumentation(name, patches=patches, **declared)], Options())
        return {row.target: row.state for row in engine.rows()}

    return apply


@pytest.fixture
def faults():
    """How often each fault of ours happened in the test."""
    return guard.faults
