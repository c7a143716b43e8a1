import importlib
import importlib.util
import inspect
import pkgutil
import subprocess
import sys
import threading

import pytest

from mmtrace.patching.hooks import ImportHooks, is_importable


@pytest.fixture
def hooks():
    made = ImportHooks()
    yield made
    made.clear()


def test_a_hook_runs_after_the_module_has_run(hooks, library):
    name = library("value = 1")
    seen = []
    hooks.when_imported(name, lambda module: seen.append(module.value))
    assert seen == []
    importlib.import_module(name)
    assert seen == [1]


def test_a_hook_of_an_imported_module_runs_at_once(hooks):
    seen = []
    hooks.when_imported("sys", seen.append)
    assert seen == [sys]


def test_a_hook_of_a_submodule_runs_when_the_submodule_comes(hooks, library):
    top = library("", name="package_of_hooks.__init__").removesuffix(".__init__")
    library("value = 2", name=f"{top}.inner")
    seen = []
    hooks.when_imported(f"{top}.inner", lambda module: seen.append(module.value))
    importlib.import_module(top)
    assert seen == []
    importlib.import_module(f"{top}.inner")
    assert seen == [2]
    sys.modules.pop(top)


def test_a_module_sees_its_real_loader_while_it_runs_and_afterwards(hooks, library):
    name = library("during = type(__loader__), type(__spec__.loader)\ndef f(): pass")
    hooks.when_imported(name, id)
    module = importlib.import_module(name)
    real = importlib.machinery.SourceFileLoader
    assert module.during == (real, real)
    assert type(module.__loader__) is real
    assert inspect.getsource(module.f) == "def f(): pass\n"
    assert pkgutil.get_data(name, f"{name}.py")


def test_looking_for_a_spec_runs_no_hook_and_answers_as_ever(hooks, library):
    name = library("value = 3")
    seen = []
    hooks.when_imported(name, seen.append)
    spec = importlib.util.find_spec(name)
    assert spec.origin.endswith(f"{name}.py")
    assert spec.loader.get_code(name) is not None
    assert seen == []
    assert importlib.util.find_spec("a_module_of_nobody") is None


def test_a_module_that_fails_to_run_runs_no_hook(hooks, library):
    name = library("raise ValueError('broken')")
    seen = []
    hooks.when_imported(name, seen.append)
    with pytest.raises(ValueError, match="broken"):
        importlib.import_module(name)
    assert seen == []


def test_clear_leaves_nothing_behind(hooks, library):
    before = list(sys.meta_path)
    name = library("")
    seen = []
    hooks.when_imported(name, seen.append)
    assert sys.meta_path != before
    hooks.clear()
    assert sys.meta_path == before
    importlib.import_module(name)
    assert seen == []


def test_two_threads_that_import_at_once_run_the_hook_once(hooks, library):
    name = library("import time; time.sleep(0.05)")
    seen = []
    hooks.when_imported(name, seen.append)
    threads = [threading.Thread(target=importlib.import_module, args=(name,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [sys.modules[name]]


def test_a_lazy_module_runs_the_hook_when_it_is_loaded_in_truth(hooks, library):
    name = library("value = 4")
    seen = []
    hooks.when_imported(name, seen.append)
    spec = importlib.util.find_spec(name)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    assert seen == []
    assert module.value == 4
    assert seen == [module]


def test_what_can_be_imported_is_known_without_importing_it(library):
    name = library("raise ValueError")
    assert is_importable(name)
    assert is_importable(f"{name}.inner")
    assert not is_importable("a_module_of_nobody")


@pytest.mark.parametrize("module", ["mmtrace", "mmtrace.patching"])
def test_wrapt_is_not_loaded_before_anything_is_instrumented(module):
    program = f"import sys, {module}; sys.exit('wrapt' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
