import concurrent.futures
import copy
import importlib
import multiprocessing
import pickle

import pytest

from mmtrace.patching.patch import Patch

SOURCE = """
class Model:
    def __init__(self, factor=2): self.factor = factor
    def predict(self, x): return [self.factor * x]
    @classmethod
    def load(cls, x): return [cls.__name__, x]
    @staticmethod
    def double(x): return [2 * x]

def infer(x): return [x]
again = infer
"""

PATHS = ("infer", "again", "Model.predict", "Model.load", "Model.double")
CALLABLES = {
    "a function": lambda m: m.infer,
    "a function under another name": lambda m: m.again,
    "a bound method": lambda m: m.Model(3).predict,
    "a class method": lambda m: m.Model.load,
    "a static method": lambda m: m.Model.double,
}


def mark(wrapped, instance, args, kwargs):
    result = yield
    return [*result, "traced"]


@pytest.fixture
def module(library, patched):
    module = importlib.import_module(library(SOURCE))
    patched(*(Patch(f"{module.__name__}:{path}", mark) for path in PATHS))
    return module


@pytest.mark.parametrize("take", CALLABLES.values(), ids=CALLABLES)
def test_what_is_patched_pickles_and_stays_patched(module, take):
    taken = take(module)
    assert pickle.loads(pickle.dumps(taken))(5) == taken(5)


@pytest.mark.parametrize("take", CALLABLES.values(), ids=CALLABLES)
def test_the_pickle_of_what_is_patched_can_be_read_where_nothing_is_patched(module, take, engine):
    data, traced = pickle.dumps(take(module)), take(module)(5)
    engine.undo()
    assert [*pickle.loads(data)(5), "traced"] == traced


def test_a_function_or_a_method_in_its_own_place_pickles_without_a_word_of_us(module):
    for path in ("infer", "Model.predict", "Model.load"):
        assert b"mmtrace" not in pickle.dumps(CALLABLES[{"infer": "a function"}.get(path, "a bound method")](module))


def test_a_method_of_an_unpatched_class_that_overrides_ours_pickles_by_its_own_class(module):
    class_of = type(module.Model(3))
    assert pickle.loads(pickle.dumps(class_of.predict))(module.Model(4), 5) == [20, "traced"]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
@pytest.mark.parametrize("take", CALLABLES.values(), ids=CALLABLES)
def test_what_is_patched_can_be_copied(module, take, copied):
    taken = take(module)
    assert copied(taken)(5) == taken(5)


def test_a_deep_copy_of_a_bound_method_has_an_object_of_its_own(module):
    predict = module.Model(3).predict
    assert copy.deepcopy(predict).__self__ is not predict.__self__


def test_an_instance_of_a_patched_class_pickles_without_a_word_of_us(module):
    assert b"mmtrace" not in pickle.dumps(module.Model(3))


def test_functions_and_methods_can_be_submitted_to_a_spawned_pool(module):
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        assert pool.submit(module.Model(3).predict, 5).result() == [15]
        assert pool.submit(module.Model.load, 5).result() == ["Model", 5]
        assert pool.submit(module.infer, 5).result() == [5]
