"""What the user decided about instrumentations; they read it through the door and never from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

_NOTHING: Final[Mapping[str, bool]] = MappingProxyType({})


@dataclass(frozen=True)
class Options:
    """Which libraries are instrumented, whether content is captured, and where context is carried.

    `enabled` None means every library; `carriers` turns the carrier of one library on or off against its default.
    `next_genai_names`: instrumentors of others write the GenAI names that come after 1.41.
    """

    enabled: frozenset[str] | None = None
    disabled: frozenset[str] = frozenset()
    content: bool = False
    carriers: Mapping[str, bool] = field(default_factory=lambda: _NOTHING)
    next_genai_names: bool = False

    def is_on(self, name: str) -> bool:
        """Whether the instrumentation called `name` is wanted."""
        return name not in self.disabled and (self.enabled is None or name in self.enabled)

    def carries(self, name: str, *, default: bool = True) -> bool:
        """Whether the instrumentation called `name` writes the context into what it sends."""
        return self.carriers.get(name, default)


class _Current:
    options = Options()


def options() -> Options:
    """Return the options that were given to `instrument()` last."""
    return _Current.options


def put_options(chosen: Options) -> None:
    """Make `chosen` the options that every instrumentation reads from now on."""
    _Current.options = chosen
