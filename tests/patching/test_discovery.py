import importlib
import sys

import pytest

from mmtrace.patching import process
from mmtrace.patching.discovery import discovered
from mmtrace.patching.options import Options, options, put_options
from mmtrace.patching.patch import Instrumentation
from mmtrace.patching.report import Row


@pytest.fixture
def distribution(tmp_path, monkeypatch):
    """Installs a third party's distribution with entry points, as pip would."""

    def install(name, group, entries, version="1.0", requires=""):
        info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}")
        lines = "\n".join(f"{key} = {value}" for key, value in entries.items())
        (info / "entry_points.txt").write_text(f"[{group}]\n{lines}\n")
        importlib.invalidate_caches()

    monkeypatch.syspath_prepend(tmp_path)
    return install


@pytest.fixture
def instrument():
    before = options()
    yield process.instrument
    process.uninstrument()
    put_options(before)


INSTRUMENTATION = """
from mmtrace.patching import Instrumentation, Patch

def mark(wrapped, instance, args, kwargs):
    return [(yield), "traced"]

instrumentation = Instrumentation("{name}", patches=(Patch("{name}:infer", mark),))
not_one = 7
"""


def test_a_third_party_joins_by_entry_point(distribution, library, instrument):
    model = library("def infer(): return 1")
    plugin = library(INSTRUMENTATION.format(name=model))
    distribution("model-tracing", "mmtrace.instrumentation", {model: f"{plugin}:instrumentation"})
    instrument(Options(enabled=frozenset({model})))
    assert importlib.import_module(model).infer() == [1, "traced"]
    assert [(row.library, row.state) for row in process.rows() if row.state != "off"] == [(model, "patched")]
    assert f"{model}:infer" in process.report()


def test_an_instrumentation_that_is_switched_off_is_not_even_loaded(distribution, library):
    plugin = library("raise ValueError('loaded')")
    distribution("model-tracing", "mmtrace.instrumentation", {"theirs": f"{plugin}:instrumentation"})
    found = [row for row in discovered(Options(disabled=frozenset({"theirs"}))) if _name(row) == "theirs"]
    assert found == [Row("theirs", "", "", "off", "switched off")]
    assert plugin not in sys.modules


@pytest.mark.parametrize("attribute", ["instrumentation", "not_one", "missing"])
def test_a_broken_third_party_is_reported_and_never_raised(distribution, library, faults, attribute):
    plugin = library(
        "raise ValueError('broken')" if attribute == "instrumentation" else INSTRUMENTATION.format(name="it")
    )
    distribution("model-tracing", "mmtrace.instrumentation", {"theirs": f"{plugin}:{attribute}"})
    (row,) = (row for row in discovered(Options(enabled=frozenset({"theirs"}))) if row.library == "theirs")
    assert row.state == "failed"
    assert faults["instrumentation theirs"] == 1


def test_every_instrumentation_of_ours_loads_and_is_called_as_its_entry_point(faults):
    rows = [found for found in discovered(Options()) if isinstance(found, Row)]
    assert rows == []
    assert not faults


def _name(found):
    return found.name if isinstance(found, Instrumentation) else found.library
