"""Which metric names a PromQL expression may use: ours, those of the Collector, and what the rules record."""

import promql_parser

from mmtrace import attributes
from mmtrace.rules import Objectives
from mmtrace.rules.promql import series
from mmtrace.rules.rule_file import groups

OTELCOL = "otelcol_"
PARTS = {"histogram": ("bucket", "count", "sum")}


def metrics():
    for value in vars(attributes).values():
        if isinstance(value, attributes.Metric):
            yield from (series(value, part) for part in PARTS.get(value.kind, ("",)))


def recorded():
    return {rule["record"] for group in groups(Objectives()) for rule in group.as_data()["rules"] if "record" in rule}


def used(expr):
    """Return the metric names in an expression; an expression that is no PromQL raises ValueError."""
    return set(_names(promql_parser.parse(expr)))


def _names(node):
    if isinstance(node, promql_parser.VectorSelector):
        yield node.name
    elif isinstance(node, promql_parser.MatrixSelector):
        yield node.vector_selector.name
    else:
        for field in ("expr", "lhs", "rhs", "param"):
            child = getattr(node, field, None)
            if child is not None:
                yield from _names(child)
        for child in getattr(node, "args", ()):
            yield from _names(child)


def unknown(expr):
    known = {*metrics(), *recorded()}
    return {name for name in used(expr) if name not in known and not name.startswith(OTELCOL)}
