"""Versions of installed distributions, and the comparison that the bounds of an instrumentation need."""

import re
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from operator import eq, ge, gt, le, lt, ne
from typing import Final

_Release = tuple[int, ...]

_OPERATORS: Final[dict[str, Callable[[_Release, _Release], bool]]] = {
    ">=": ge, "<=": le, "==": eq, "!=": ne, ">": gt, "<": lt,
}  # fmt: skip
_BOUND: Final = re.compile(r"\s*(>=|<=|==|!=|>|<)\s*v?(\d+(?:\.\d+)*)\s*")
_RELEASE: Final = re.compile(r"\s*v?(?:\d+!)?(\d+(?:\.\d+)*)")


def satisfies(installed: str, bounds: str) -> bool:
    """Whether version `installed` is within `bounds`, as ">=2.31,<3"; a pre-release counts as its release.

    A version that is no version is within any bounds. Raises ValueError for malformed bounds.
    """
    found = _RELEASE.match(installed)
    return all(_within(_parts(found[1]), bound) if found else True for bound in bounds.split(",") if bound.strip())


def _within(release: _Release, bound: str) -> bool:
    matched = _BOUND.fullmatch(bound)
    if matched is None:
        raise ValueError(f"a bound is an operator and a version, '>=2.31', not {bound!r}")
    return _OPERATORS[matched[1]](release, _parts(matched[2]))


def _parts(release: str) -> _Release:
    parts = [int(part) for part in release.split(".")]
    while parts and not parts[-1]:
        parts.pop()
    return tuple(parts)


def installed_version(distribution: str) -> str:
    """Return the version of `distribution`, or an empty string where it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
