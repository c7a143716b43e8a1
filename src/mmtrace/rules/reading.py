"""Objectives from YAML; whatever is wrong is named with its line and with what would be right."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Final, NoReturn, TypeVar

import yaml

from mmtrace import attributes as names
from mmtrace.errors import ConfigurationError, nearest
from mmtrace.rules.objectives import ApiLimits, Limits, Model, Objectives, ProcessLimits
from mmtrace.rules.seen import Seen

L = TypeVar("L", Limits, ApiLimits, ProcessLimits)

_SHARES: Final = frozenset({"target", "errors", "saturation", "memory", "gpu_memory"})
_KINDS: Final = ("models", "gen_ai")
_TOP: Final = ("minimum_rate", "latency_buckets", "processes", "defaults", "services")


def read(text: str, where: str, seen: Seen | None = None) -> Objectives:
    """Return the objectives that a YAML text states; `where` is what messages call it.

    With `seen`, every service, model and bound of a bucket must be one that Prometheus has seen. Raises
    ConfigurationError with the line of the first mistake.
    """
    return _Reader(where, seen).objectives(text)


class _Reader:
    """Walks the nodes of a document, which know their lines."""

    def __init__(self, where: str, seen: Seen | None) -> None:
        self._where = where
        self._seen = seen
        self._keys: dict[yaml.Node, yaml.Mark] = {}
        self._bounds: Mapping[str, tuple[float, ...]] = {}

    def objectives(self, text: str) -> Objectives:
        top = self._mapping(self._document(text), _TOP, "key")
        buckets = self._list(top["latency_buckets"]) if "latency_buckets" in top else ()
        self._bounds = {
            "models": tuple(sorted({*names.TIME_BUCKETS, *buckets})),
            "gen_ai": names.GEN_AI_OPERATION_DURATION.buckets,
            "processes": names.TIME_BUCKETS,
        }
        defaults = self._mapping(top["defaults"], _KINDS, "key") if "defaults" in top else {}
        models = self._limits(defaults.get("models"), Limits(), "models")
        apis = self._limits(defaults.get("gen_ai"), ApiLimits(), "gen_ai")
        services = dict(self._services(top["services"])) if "services" in top else {}
        return Objectives(
            minimum_rate=self._number(top["minimum_rate"], "minimum_rate") if "minimum_rate" in top else 0.1,
            latency_buckets=buckets,
            process=self._limits(top.get("processes"), ProcessLimits(), "processes"),
            model_defaults=models,
            api_defaults=apis,
            models=dict(self._models(services, "models", models)),
            api_models=dict(self._models(services, "gen_ai", apis)),
        )

    def _document(self, text: str) -> yaml.Node:
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._refuse(mark, f"this is no YAML: {error.problem or error.context}")
        except yaml.YAMLError as error:
            raise ConfigurationError(f"{self._where} is no YAML: {' '.join(str(error).split())}") from None
        if node is None:
            raise ConfigurationError(f"{self._where}:1: it is empty; keys: {', '.join(_TOP)}")
        return node

    # --- services and models

    def _services(self, node: yaml.Node) -> Iterator[tuple[str, Mapping[str, yaml.Node]]]:
        for job, service in self._mapping(node, None, "service").items():
            kinds = self._mapping(service, _KINDS, "key") if not _is_empty(service) else {}
            if not any(_has_children(kinds.get(kind)) for kind in _KINDS):
                self._refuse(self._keys[service], f"service {job!r} names no model; {self._models_of(job)}")
            yield job, kinds

    def _models(
        self, services: Mapping[str, Mapping[str, yaml.Node]], kind: str, default: L
    ) -> Iterator[tuple[Model, L]]:
        for job, kinds in services.items():
            if _has_children(kinds.get(kind)):
                for name, node in self._mapping(kinds[kind], None, "model").items():
                    model = Model(job, name)
                    yield model, self._limits(node, default, kind, self._seen_as(model, kind, node))

    def _seen_as(self, model: Model, kind: str, node: yaml.Node) -> tuple[float, ...]:
        """Return the bounds that the buckets of a model have; refuse one that Prometheus has not seen."""
        if self._seen is None:
            return self._bounds[kind]
        known = self._seen.of(kind)
        if model not in known:
            jobs = {each.job for each in known}
            what, name, choices = (
                ("model", model.name, {each.name for each in known if each.job == model.job})
                if model.job in jobs
                else ("service", model.job, jobs)
            )
            self._refuse(self._keys[node], f"Prometheus has seen no {what} {name!r}; {nearest(name, choices)}")
        return known[model].bounds

    def _models_of(self, job: str) -> str:
        seen = (
            {model.name for kind in _KINDS for model in self._seen.of(kind) if model.job == job} if self._seen else ()
        )
        listed = f" ({', '.join(sorted(seen))})" if seen else ""
        return f"name one{listed} under `models`, or under `gen_ai` where it is called through an API"

    def _limits(self, node: yaml.Node | None, default: L, kind: str, bounds: tuple[float, ...] = ()) -> L:
        if node is None or _is_empty(node):
            return default
        known = [column.name for column in fields(default)]
        given = self._mapping(node, known, "limit")
        bounds = bounds or self._bounds[kind]
        values = {name: self._limit(value, name, kind, bounds) for name, value in given.items()}
        return replace(default, **values)

    def _limit(self, node: yaml.Node, name: str, kind: str, bounds: tuple[float, ...]) -> float:
        value = self._number(node, name)
        if name in _SHARES and value >= 1:
            self._refuse(node.start_mark, f"{name} is a share between 0 and 1, not {node.value}")
        if name in {"latency", "gc_pause"} and value not in bounds:
            self._refuse(node.start_mark, _no_bound(name, value, kind, bounds))
        return value

    # --- nodes

    def _mapping(self, node: yaml.Node, known: Collection[str] | None, what: str) -> dict[str, yaml.Node]:
        """Return the values of a mapping by key; its keys are among `known`, and none stands there twice."""
        if not isinstance(node, yaml.MappingNode):
            kind = "keys: " + ", ".join(known) if known else f"each {what} with a colon after its name"
            self._refuse(node.start_mark, f"a mapping is needed here ({kind})")
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if known is not None and name not in known:
                self._refuse(key.start_mark, f"there is no {what} {name!r}; {nearest(name, known)}")
            if not name:
                self._refuse(key.start_mark, f"a {what} without a name")
            if name in found:
                self._refuse(key.start_mark, f"{what} {name!r} stands here twice")
            found[name] = value
            self._keys[value] = key.start_mark
        return found

    def _number(self, node: yaml.Node, name: str) -> float:
        try:
            value = float(node.value)
        except (TypeError, ValueError):
            value = math.nan
        if not 0 < value < math.inf:
            given = repr(node.value) if isinstance(node, yaml.ScalarNode) else "a list or a mapping"
            self._refuse(node.start_mark, f"{name} is a number above 0, not {given}")
        return value

    def _list(self, node: yaml.Node) -> tuple[float, ...]:
        if not isinstance(node, yaml.SequenceNode):
            self._refuse(node.start_mark, "latency_buckets is a list of seconds, such as [0.4, 0.75]")
        return tuple(sorted({self._number(item, "a bound of latency_buckets") for item in node.value}))

    def _refuse(self, mark: yaml.Mark | None, message: str) -> NoReturn:
        line = mark.line + 1 if mark else 1
        raise ConfigurationError(f"{self._where}:{line}: {message}")


def _no_bound(name: str, value: float, kind: str, bounds: tuple[float, ...]) -> str:
    close = sorted(sorted(bounds, key=lambda bound: abs(math.log(bound / value)))[:2])
    told = f"{name} {value:g} is no bound of the histogram's buckets; the nearest are {_listed(close)}"
    if kind != "models":
        return told
    return (
        f"{told}. To add it, set MMTRACE_LATENCY_BUCKETS={value:g} in the services, "
        f"and `latency_buckets: [{value:g}]` here"
    )


def _listed(bounds: Iterable[float]) -> str:
    return " and ".join(f"{bound:g}" for bound in bounds)


def _is_empty(node: yaml.Node) -> bool:
    return bool(isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null")


def _has_children(node: yaml.Node | None) -> bool:
    return node is not None and not _is_empty(node) and bool(node.value)
