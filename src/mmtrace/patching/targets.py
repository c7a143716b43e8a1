"""Finding the place that a patch names, putting something else there, and putting the original back."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import Any, Final

from mmtrace.patching.guarding import guarded
from mmtrace.patching.patch import Patch
from mmtrace.patching.wrapping import FunctionWrapper
from mmtrace.recording.guard import never_raises

_ABSENT: Final = object()


class MissingTarget(LookupError):
    """The library has nothing at the place that a patch names."""


@dataclass
class Place:
    """One attribute that was changed: `owner.name` held `original` and now holds `current`."""

    owner: Any
    name: str
    original: Any
    current: Any
    inherited: bool = False
    _undone: bool = field(default=False, repr=False)

    def is_on(self) -> bool:
        """Whether the change still holds."""
        return not self._undone

    def undo(self) -> None:
        """Put the original back; where somebody has wrapped ours since, ours only steps out of the way."""
        self._undone = True
        if _own(self.owner, self.name) is not self.current:
            return
        if self.inherited:
            delattr(self.owner, self.name)
        else:
            setattr(self.owner, self.name, self.original)


def apply(patch: Patch, module: ModuleType, places: list[Place]) -> None:
    """Change what `patch` names in `module`, unless it is so already; add what was changed to `places`, now and later.

    Raises MissingTarget, and TypeError for a class that takes no attributes.
    """
    owner, name = _owner_of(patch, module)
    if patch.subclasses:
        _apply_to_subclasses(patch, owner, name, places)
    else:
        _apply_at(patch, owner, name, patch.target, places)


def _owner_of(patch: Patch, module: ModuleType) -> tuple[Any, str]:
    owner: Any = module
    *parents, name = patch.path.split(".")
    for parent in parents:
        owner = getattr(owner, parent, _ABSENT)
        if owner is _ABSENT:
            raise MissingTarget(f"there is no {patch.target}")
    return owner, name


def _apply_at(patch: Patch, owner: Any, name: str, target: str, places: list[Place]) -> None:
    if patch.inner:
        descriptor = _raw(owner, name, _ABSENT)
        if _raw(descriptor, patch.inner, _ABSENT) is not _ABSENT:
            owner, name = descriptor, patch.inner
    original = _raw(owner, name, _ABSENT)
    if original is _ABSENT:
        raise MissingTarget(f"there is no {target}")
    if _is_ours(original, patch):
        return
    inherited = _own(owner, name) is _ABSENT
    place = Place(owner, name, original, None, inherited)
    place.current = _replacement(patch, original, target, place.is_on)
    setattr(owner, name, place.current)
    places.append(place)


def _replacement(patch: Patch, original: Any, target: str, is_on: Callable[[], bool]) -> Any:
    if patch.wrapper is None:
        replace: Any = patch.replace
        return replace(original)
    awaits = inspect.iscoroutinefunction(_function_of(original)) if patch.awaits is None else patch.awaits
    return FunctionWrapper(original, guarded(patch.wrapper, target, awaits=awaits), target, is_on, patch.wrapper)


def _is_ours(original: Any, patch: Patch) -> bool:
    """Whether the very same wrapper is there already, as under a second name of one function."""
    return isinstance(original, FunctionWrapper) and original._self_is_declared_by(patch.wrapper)


def _function_of(raw: Any) -> Any:
    return inspect.unwrap(getattr(raw, "__func__", raw))


def _raw(owner: Any, name: str, default: Any = None) -> Any:
    """Return the attribute without binding it, so that static and class methods stay what they are."""
    if inspect.isclass(owner):
        for base in owner.__mro__:
            if name in vars(base):
                return vars(base)[name]
        return default
    return getattr(owner, name, default)


def _own(owner: Any, name: str) -> Any:
    """Return what `owner` itself holds under `name`, inherited attributes left out."""
    try:
        return vars(owner).get(name, _ABSENT)
    except TypeError:
        return getattr(owner, name, _ABSENT)


# --- methods of a class and of every subclass -----------------------------------------------------------------------


def _apply_to_subclasses(patch: Patch, base: type, name: str, places: list[Place]) -> None:
    for cls in _with_subclasses(base):
        _apply_to_subclass(patch, base, name, places, cls)
    places.append(_watch_subclasses(base, partial(_apply_to_subclass, patch, base, name, places)))


@never_raises
def _apply_to_subclass(patch: Patch, base: type, name: str, places: list[Place], cls: type) -> None:
    """Change the method of `cls` if it is its own or a mixin's; a mixin itself stays, for it has other users."""
    owner = next((owner for owner in cls.__mro__ if name in vars(owner)), None)
    if owner is not None and (owner is cls or base not in owner.__mro__):
        _apply_at(patch, cls, name, f"{cls.__module__}:{cls.__qualname__}.{name}", places)


def _with_subclasses(base: type) -> Iterator[type]:
    seen: set[type] = set()
    waiting = [base]
    while waiting:
        cls = waiting.pop()
        if cls not in seen:
            seen.add(cls)
            yield cls
            waiting.extend(type.__subclasses__(cls))


def _watch_subclasses(base: type[Any], created: Callable[[type], None]) -> Place:
    original = _raw(base, "__init_subclass__")
    inherited = _own(base, "__init_subclass__") is _ABSENT
    place = Place(base, "__init_subclass__", original, None, inherited)

    def init_subclass(cls: Any, /, **kwargs: Any) -> None:
        bound = super(base, cls).__init_subclass__ if inherited else original.__get__(None, cls)
        bound(**kwargs)
        if place.is_on():
            created(cls)

    place.current = classmethod(init_subclass)
    setattr(base, place.name, place.current)
    return place
