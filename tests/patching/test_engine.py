import importlib
import inspect
import sys

import pytest

from mmtrace.patching.options import Options, options
from mmtrace.patching.patch import Instrumentation, Patch

SOURCE = """
class Model:
    def predict(self, x): return ["predicted", x]
    @classmethod
    def load(cls, name): return [cls.__name__, name]
    @staticmethod
    def version(): return ["1"]
    async def stream(self, x): return ["streamed", x]

class Large(Model):
    pass

def infer(x, *, scale: int = 1) -> list: return ["inferred", x, scale]
"""


def mark(wrapped, instance, args, kwargs):
    result = yield
    return [*result, "traced"]


def test_a_module_imported_later_is_patched_when_it_comes(library, patched):
    name = library(SOURCE)
    assert patched(Patch(f"{name}:infer", mark)) == {f"{name}:infer": "waiting"}
    assert importlib.import_module(name).infer(1) == ["inferred", 1, 1, "traced"]


def test_a_module_imported_before_is_patched_at_once_and_its_existing_instances_with_it(library, patched):
    name = library(SOURCE)
    model = importlib.import_module(name).Model()
    patched(Patch(f"{name}:Model.predict", mark))
    assert model.predict(1) == ["predicted", 1, "traced"]


@pytest.mark.parametrize(
    ("path", "use", "result"),
    [
        ("infer", lambda m: m.infer(1, scale=2), ["inferred", 1, 2, "traced"]),
        ("Model.predict", lambda m: m.Model().predict(1), ["predicted", 1, "traced"]),
        ("Model.predict", lambda m: m.Model.predict(m.Model(), 1), ["predicted", 1, "traced"]),
        ("Model.load", lambda m: m.Model.load("a"), ["Model", "a", "traced"]),
        ("Model.load", lambda m: m.Large.load("a"), ["Large", "a", "traced"]),
        ("Model.version", lambda m: m.Model.version(), ["1", "traced"]),
        ("Model.version", lambda m: m.Model().version(), ["1", "traced"]),
        ("Large.predict", lambda m: m.Large().predict(1), ["predicted", 1, "traced"]),
        ("Large.predict", lambda m: m.Model().predict(1), ["predicted", 1]),
    ],
)
def test_functions_and_methods_of_every_kind_stay_what_they_are(library, patched, path, use, result):
    module = importlib.import_module(library(SOURCE))
    patched(Patch(f"{module.__name__}:{path}", mark))
    assert use(module) == result


async def test_a_coroutine_method_is_awaited_by_its_wrapper(library, patched):
    module = importlib.import_module(library(SOURCE))
    patched(Patch(f"{module.__name__}:Model.stream", mark))
    assert inspect.iscoroutinefunction(module.Model.stream)
    assert await module.Model().stream(1) == ["streamed", 1, "traced"]


async def test_a_function_that_returns_a_coroutine_is_awaited_where_its_patch_says_so(library, patched):
    module = importlib.import_module(library("async def _run(x): return [x]\ndef run(x): return _run(x)"))
    patched(Patch(f"{module.__name__}:run", mark, awaits=True))
    assert await module.run(1) == [1, "traced"]


def test_signature_and_name_are_those_of_the_original(library, patched):
    module = importlib.import_module(library(SOURCE))
    before = inspect.signature(module.infer)
    patched(Patch(f"{module.__name__}:infer", mark))
    assert inspect.signature(module.infer) == before
    assert module.infer.__name__ == "infer"
    assert inspect.isfunction(module.infer)


def test_undo_restores_every_attribute(library, patched, engine):
    module = importlib.import_module(library(SOURCE))
    paths = ("infer", "Model.predict", "Model.load", "Model.version", "Large.predict")
    before = dict(vars(module)), dict(vars(module.Model)), dict(vars(module.Large))
    patched(*(Patch(f"{module.__name__}:{path}", mark) for path in paths))
    engine.undo()
    assert (dict(vars(module)), dict(vars(module.Model)), dict(vars(module.Large))) == before


def test_undo_silences_a_reference_that_was_taken_while_patched(library, patched, engine):
    module = importlib.import_module(library(SOURCE))
    patched(Patch(f"{module.__name__}:infer", mark))
    taken = module.infer
    engine.undo()
    assert taken(1) == ["inferred", 1, 1]


def test_undo_under_somebody_elses_wrapper_leaves_theirs_and_silences_ours(library, patched, engine):
    module = importlib.import_module(library(SOURCE))
    patched(Patch(f"{module.__name__}:infer", mark))
    ours = module.infer
    theirs = module.infer = lambda x: ["theirs", *ours(x)]
    engine.undo()
    assert module.infer is theirs
    assert module.infer(1) == ["theirs", "inferred", 1, 1]


def test_a_module_imported_after_undo_is_left_alone(library, patched, engine):
    name = library(SOURCE)
    patched(Patch(f"{name}:infer", mark))
    engine.undo()
    assert importlib.import_module(name).infer(1) == ["inferred", 1, 1]


def test_patching_twice_is_patching_once(library, patched):
    module = importlib.import_module(library(SOURCE))
    for _ in range(2):
        patched(Patch(f"{module.__name__}:infer", mark))
    assert module.infer(1) == ["inferred", 1, 1, "traced"]


def test_one_function_under_two_names_is_traced_once(library, patched):
    inner = library(SOURCE)
    outer = library(f"from {inner} import infer")
    patched(Patch(f"{inner}:infer", mark), Patch(f"{outer}:infer", mark))
    assert importlib.import_module(outer).infer(1) == ["inferred", 1, 1, "traced"]


def test_a_reloaded_module_is_patched_again(library, patched):
    module = importlib.import_module(library(SOURCE))
    patched(Patch(f"{module.__name__}:infer", mark))
    importlib.reload(module)
    assert module.infer(1) == ["inferred", 1, 1, "traced"]


def test_replace_puts_a_class_in_the_place_of_one_that_takes_no_attributes(library, patched, engine):
    module = importlib.import_module(library("from queue import SimpleQueue"))
    original = module.SimpleQueue

    def counting(queue_class):
        class Counting(queue_class):
            pass

        return Counting

    patched(Patch(f"{module.__name__}:SimpleQueue", replace=counting))
    assert issubclass(module.SimpleQueue, original)
    assert module.SimpleQueue is not original
    engine.undo()
    assert module.SimpleQueue is original


def test_methods_of_subclasses_are_patched_those_that_exist_and_those_that_come(library, patched, engine):
    module = importlib.import_module(
        library(
            """
            class Base:
                created = []
                def __init_subclass__(cls, *, note="", **kwargs):
                    super().__init_subclass__(**kwargs)
                    Base.created.append((cls.__name__, note))
            class Before(Base):
                def predict(self): return ["before"]
            """
        )
    )
    patched(Patch(f"{module.__name__}:Base.predict", mark, subclasses=True))

    class After(module.Base, note="kept"):
        def predict(self):
            return ["after"]

    class Inheriting(After):
        pass

    assert module.Before().predict() == ["before", "traced"]
    assert After().predict() == ["after", "traced"]
    assert Inheriting().predict() == ["after", "traced"]
    assert module.Base.created == [("Before", ""), ("After", "kept"), ("Inheriting", "")]
    engine.undo()
    assert After().predict() == ["after"]

    class Later(module.Base):
        def predict(self):
            return ["later"]

    assert Later().predict() == ["later"]


def test_a_method_that_subclasses_have_from_a_mixin_is_patched_in_the_mixin(library, patched, engine):
    module = importlib.import_module(
        library(
            """
            class Base: pass
            class Mixin:
                def predict(self): return ["mixed in"]
            class First(Mixin, Base): pass
            class Second(Mixin, Base): pass
            """
        )
    )
    original = module.Mixin.predict
    patched(Patch(f"{module.__name__}:Base.predict", mark, subclasses=True))

    class LaterMixin:
        def predict(self):
            return ["later"]

    class Third(LaterMixin, module.Base):
        pass

    assert module.First().predict() == module.Second().predict() == ["mixed in", "traced"]
    assert Third().predict() == ["later", "traced"]
    engine.undo()
    assert module.Mixin.predict is original
    assert Third().predict() == ["later"]


def test_a_subclass_that_has_the_method_from_a_mixin_is_patched_and_the_mixin_is_not(library, patched, engine):
    module = importlib.import_module(library("class Base: pass"))

    class Mixin:
        def predict(self):
            return ["mixed"]

    class Before(module.Base, Mixin):
        pass

    patched(Patch(f"{module.__name__}:Base.predict", mark, subclasses=True))

    class After(Mixin, module.Base):
        pass

    class Heir(After):
        pass

    assert [cls().predict() for cls in (Before, After, Heir)] == [["mixed", "traced"]] * 3
    assert Mixin().predict() == ["mixed"]
    engine.undo()
    assert [vars(cls).get("predict") for cls in (Before, After, Heir)] == [None] * 3


def test_watching_subclasses_lets_a_mixin_hear_of_them_too(library, patched):
    module = importlib.import_module(library("class Base: pass"))
    patched(Patch(f"{module.__name__}:Base.predict", mark, subclasses=True))
    heard = []

    class Mixin:
        def __init_subclass__(cls, **kwargs):
            super().__init_subclass__(**kwargs)
            heard.append(cls.__name__)

    class Model(module.Base, Mixin):
        pass

    assert heard == ["Model"]


def test_a_descriptor_that_decides_who_has_a_method_goes_on_deciding(library, patched, engine):
    module = importlib.import_module(
        library(
            """
            class available_if:
                def __init__(self, fn, check): self.fn, self.check = fn, check
                def __get__(self, obj, owner=None):
                    if obj is not None and not self.check(obj): raise AttributeError("not available")
                    return self.fn.__get__(obj, owner)
            class Model:
                def __init__(self, able): self.able = able
                def _predict(self): return ["predicted"]
                predict = available_if(_predict, lambda self: self.able)
            """
        )
    )
    patched(Patch(f"{module.__name__}:Model.predict", mark, inner="fn"))
    assert module.Model(able=True).predict() == ["predicted", "traced"]
    assert not hasattr(module.Model(able=False), "predict")
    engine.undo()
    assert module.Model(able=True).predict() == ["predicted"]


def test_a_library_that_is_switched_off_is_left_alone(library, engine):
    module = importlib.import_module(library(SOURCE))
    wanted = Instrumentation("it", patches=(Patch(f"{module.__name__}:infer", mark),))
    engine.instrument([wanted], Options(disabled=frozenset({"it"})))
    assert module.infer(1) == ["inferred", 1, 1]
    assert [(row.library, row.state) for row in engine.rows()] == [("it", "off")]


def test_instrumenting_again_with_other_options_undoes_what_is_not_wanted_any_more(library, engine):
    module = importlib.import_module(library(SOURCE))
    wanted = Instrumentation("it", patches=(Patch(f"{module.__name__}:infer", mark),))
    engine.instrument([wanted], Options())
    engine.instrument([wanted], Options(disabled=frozenset({"it"})))
    assert module.infer(1) == ["inferred", 1, 1]
    engine.instrument([wanted], Options())
    assert module.infer(1) == ["inferred", 1, 1, "traced"]
    assert [row.state for row in engine.rows()] == ["too late" if _held(module) else "patched"]


def _held(module):
    return any(getattr(other, "infer", None) is module.infer.__wrapped__ for other in list(sys.modules.values()))


def test_patches_may_follow_the_options(library, engine):
    module = importlib.import_module(library(SOURCE))

    def patches(chosen):
        return (Patch(f"{module.__name__}:infer", mark),) if chosen.content else ()

    engine.instrument([Instrumentation("it", patches=patches)], Options(content=True))
    assert module.infer(1) == ["inferred", 1, 1, "traced"]
    assert options().content


def test_a_version_that_is_not_supported_is_left_alone(library, patched, engine):
    module = importlib.import_module(library(f"__version__ = '3.0'\n{SOURCE}"))
    target = f"{module.__name__}:infer"
    assert patched(Patch(target, mark), library="nowhere-to-be-found", versions=">=1,<3") == {target: "off"}
    assert module.infer(1) == ["inferred", 1, 1]
    (row,) = engine.rows()
    assert (row.version, row.why) == ("3.0", "version 3.0 is not supported, >=1,<3 is")
