import ast
import inspect
from itertools import pairwise
from pathlib import Path

import pytest

import mmtrace_instrumentation
from mmtrace import attributes

ROOTS = [Path(attributes.__file__).parent, Path(mmtrace_instrumentation.__file__).parent]
NAMES = [name for name in vars(attributes) if name.isupper() and not name.startswith("_")]


@pytest.fixture(scope="module")
def used():
    """Every attribute that any of our modules reads from another name, and every name that it mentions."""
    found = set()
    for path in (path for root in ROOTS for path in root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                found.add(node.id)
    return found


def test_every_name_is_explained():
    body = ast.parse(inspect.getsource(attributes)).body
    explained = {
        before.target.id
        for before, after in pairwise(body)
        if isinstance(before, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    }
    metrics = {name for name in NAMES if isinstance(getattr(attributes, name), attributes.Metric)}
    assert set(NAMES) - metrics - explained == set()
    assert all(getattr(attributes, name).description for name in metrics)


@pytest.mark.parametrize("name", NAMES)
def test_no_name_is_defined_that_nothing_uses(name, used):
    assert name in used


def test_no_name_is_spelled_anywhere_else():
    values = [getattr(attributes, name) for name in NAMES]
    keys = {value for value in values if isinstance(value, str) and value.count(".") >= 2}
    spelled = [
        (path.name, node.value)
        for root in ROOTS
        for path in root.rglob("*.py")
        if path.name != "attributes.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in keys
    ]
    assert spelled == []


def test_every_metric_is_listed_once_and_has_a_name_of_its_own():
    metrics = [value for name in NAMES if isinstance(value := getattr(attributes, name), attributes.Metric)]
    assert {metric.name for metric in metrics} >= {metric.name for metric in attributes.METRICS}
    assert len({metric.name for metric in metrics}) == len(metrics)
