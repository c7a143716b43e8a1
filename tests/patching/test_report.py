import importlib
import sys

import pytest

from mmtrace.patching.options import Options
from mmtrace.patching.patch import Instrumentation, Patch
from mmtrace.patching.report import Row, render
from mmtrace.recording import guard


def leave(wrapped, instance, args, kwargs):
    yield


SOURCE = """
def infer(x): return x
class Model:
    def predict(self): return self
"""


def only_row(engine):
    (row,) = engine.rows()
    return row


def test_a_missing_target_is_reported_as_failed_and_said_once(library, patched, engine, faults):
    module = importlib.import_module(library(SOURCE))
    target = f"{module.__name__}:Model.predict_all"
    assert patched(Patch(target, leave)) == {target: "failed"}
    assert only_row(engine).why == f"there is no {target}"
    assert faults[f"patch of {target}"] == 1


def test_a_missing_target_that_is_optional_is_off(library, patched):
    module = importlib.import_module(library(SOURCE))
    target = f"{module.__name__}:Model.predict_all"
    assert patched(Patch(target, leave, optional=True)) == {target: "off"}


def test_a_class_that_takes_no_attributes_is_reported_as_failed(patched, faults):
    assert patched(Patch("queue:SimpleQueue.put", leave)) == {"queue:SimpleQueue.put": "failed"}


def test_a_replacement_that_raises_is_reported_as_failed_and_changes_nothing(library, patched, faults):
    module = importlib.import_module(library(SOURCE))
    before = module.infer

    def fails(original):
        raise ZeroDivisionError

    assert patched(Patch(f"{module.__name__}:infer", replace=fails)) == {f"{module.__name__}:infer": "failed"}
    assert module.infer is before


def test_patches_that_cannot_be_declared_are_reported(engine, faults):
    def patches(options):
        raise ZeroDivisionError

    engine.instrument([Instrumentation("broken", patches=patches)], Options())
    assert only_row(engine) == Row("broken", "", "", "failed", "ZeroDivisionError()")


def test_a_library_that_nobody_imported_waits_and_one_that_is_absent_is_off(library, patched):
    name = library(SOURCE)
    states = patched(Patch(f"{name}:infer", leave), Patch("absent_library_of_nobody:infer", leave), library="dist")
    assert states == {f"{name}:infer": "waiting", "absent_library_of_nobody:infer": "off"}


def test_a_function_that_a_module_took_before_is_reported_as_too_late_with_its_holder(library, patched, engine):
    name = library(SOURCE)
    holder = library(f"from {name} import infer as run")
    importlib.import_module(holder)
    assert patched(Patch(f"{name}:infer", leave)) == {f"{name}:infer": "too late"}
    assert only_row(engine).why == f"taken before it was patched: {holder}.run"


def test_a_bound_method_that_a_module_took_before_is_reported_as_too_late(library, patched, engine):
    name = library(SOURCE)
    holder = library(f"from {name} import Model\npredict = Model().predict")
    importlib.import_module(holder)
    patched(Patch(f"{name}:Model.predict", leave))
    assert only_row(engine).why == f"taken before it was patched: {holder}.predict"


def test_a_class_that_a_module_took_before_it_was_replaced_is_reported_as_too_late(library, patched, engine):
    name = library(SOURCE)
    holder = library(f"from {name} import Model")
    importlib.import_module(holder)
    patched(Patch(f"{name}:Model", replace=lambda original: type("Other", (original,), {})))
    assert only_row(engine).why == f"taken before it was patched: {holder}.Model"


def test_a_class_that_was_derived_from_one_before_it_was_replaced_is_reported_as_too_late(library, patched, engine):
    name = library(SOURCE)
    heir = library(f"import {name}\nclass Larger({name}.Model): pass")
    importlib.import_module(heir)
    patched(Patch(f"{name}:Model", replace=lambda original: type("Other", (original,), {})))
    assert only_row(engine).why == f"taken before it was patched: {heir}.Larger"


def test_the_module_in_c_that_a_function_comes_from_is_not_too_late(patched):
    assert patched(Patch("os:fork", leave)) == {"os:fork": "patched"}


def test_what_is_taken_after_the_patch_is_not_too_late(library, patched, engine):
    name = library(SOURCE)
    patched(Patch(f"{name}:infer", leave))
    importlib.import_module(library(f"from {name} import infer"))
    assert only_row(engine).state == "patched"


def test_a_module_that_is_left_half_imported_is_reported_and_breaks_nothing(library, patched, faults):
    name = library("raise ImportError('half')")
    patched(Patch(f"{name}:infer", leave))
    with pytest.raises(ImportError, match="half"):
        importlib.import_module(name)
    assert name not in sys.modules


def test_the_table_says_in_one_line_what_fared_alike_and_in_another_what_is_not_in_use():
    rows = [
        Row("httpx", "0.28.1", "httpx:Client.send", "patched"),
        Row("httpx", "0.28.1", "httpx:AsyncClient.send", "patched"),
        Row("requests", "2.34.2", "requests:Session.send", "patched"),
        Row("grpc", "1.85", "grpc:server", "too late", "taken before it was patched: app.server"),
        Row("grpc", "", "grpc.aio:server", "waiting"),
        Row("starlette", "", "starlette.routing:Route", "waiting"),
        Row("starlette", "", "starlette.routing:Mount", "waiting"),
        Row("redis", "", "redis:Redis", "off", "not installed"),
        Row("kafka", "", "kafka:Producer", "off", "not installed"),
        Row("kafka", "", "kafka:Consumer", "off", "not installed"),
    ]
    assert render(rows).splitlines() == [
        "library   version  target                 state     why",
        "httpx     0.28.1   2 targets              patched",
        "requests  2.34.2   requests:Session.send  patched",
        "grpc      1.85     grpc:server            too late  taken before it was patched: app.server",
        "grpc               grpc.aio:server        waiting   nothing has imported it",
        "not imported: starlette",
        "not installed: kafka, redis",
    ]


def test_the_table_of_nothing_says_so():
    assert render([]) == "no instrumentation was found"


def test_a_patch_says_what_is_wrong_with_it():
    with pytest.raises(ValueError, match="a target is 'module:attribute'"):
        Patch("requests.Session.send", leave)
    with pytest.raises(ValueError, match="either wrapper or replace"):
        Patch("requests:Session.send")


def test_the_fault_of_a_patch_is_said_with_its_cause(library, patched, faults, caplog):
    module = importlib.import_module(library(SOURCE))
    patched(Patch(f"{module.__name__}:gone", leave))
    guard.say()
    assert [record.getMessage() for record in caplog.records] == [
        f"mmtrace: {module.__name__}:gone is not traced: there is no {module.__name__}:gone"
    ]
