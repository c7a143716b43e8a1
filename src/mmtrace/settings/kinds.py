"""Kinds of values: each reads text, or an argument of the right type, and says what is right where a value is wrong."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from mmtrace.errors import nearest

_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})


@dataclass(frozen=True, slots=True)
class Kind:
    """How a value is read; `read` raises ValueError with what would be right, and returns None where nothing is said.

    `lenient`: a wrong value of an OTEL_* variable is warned of and left out, as its specification asks for. `merges`:
    what several sources say is put together.
    """

    read: Callable[[Any], Any]
    lenient: bool = False
    merges: bool = False


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("text is needed")  # noqa: TRY004 - one kind of error for all wrong values
    return value


def number(minimum: float, *, scale: float = 1.0) -> Kind:
    """Return the kind of a finite number of at least `minimum`, after it was multiplied by `scale`."""

    def read(value: Any) -> float:
        try:
            scaled = float(value) * scale
        except (TypeError, ValueError):
            scaled = math.nan
        if not minimum <= scaled < math.inf:
            raise ValueError(f"a number of at least {minimum / scale:g} is needed")
        return scaled

    return Kind(read, lenient=True)


def whole(minimum: int) -> Kind:
    """Return the kind of an integer of at least `minimum`."""

    def read(value: Any) -> int:
        try:
            count = minimum - 1 if isinstance(value, (bool, float)) else int(value)
        except (TypeError, ValueError):
            count = minimum - 1
        if count < minimum:
            raise ValueError(f"a whole number of at least {minimum} is needed")
        return count

    return Kind(read, lenient=True)


def _flag(value: Any) -> bool:
    text = str(value).lower()
    if text not in _TRUE | _FALSE:
        raise ValueError("true or false is needed")
    return text in _TRUE


def _standard_flag(value: str) -> bool:
    if value.lower() not in {"true", "false"}:
        raise ValueError("only true and false have a meaning")
    return value.lower() == "true"


def _otlp_timeout(value: str) -> float:
    # The specification says milliseconds, the stock Python exporters say seconds; nobody means 10 milliseconds.
    given: float = number(0).read(value)
    return given if given < 100 else given / 1000


def choice(*choices: str) -> Kind:
    """Return the kind of one of `choices`, in upper or lower case."""

    def read(value: Any) -> str:
        found = {each.lower(): each for each in choices}.get(str(value).lower())
        if found is None:
            raise ValueError(nearest(str(value), choices))
        return found

    return Kind(read)


def _list(value: Any) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, Iterable) or not all(isinstance(part, str) for part in parts):
        raise ValueError("a list of names is needed")
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def exporters(*choices: str) -> Kind:
    """Return the kind of a list of exporters; `none` alone is the empty list."""
    one = choice(*choices, "none")

    def read(value: Any) -> tuple[str, ...]:
        chosen = tuple(one.read(part) for part in _list(value))
        if "none" in chosen and len(chosen) > 1:
            raise ValueError("none stands alone")
        return () if chosen == ("none",) else chosen

    return Kind(read)


def _attributes(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    parts = [part.partition("=") for part in _text(value).split(",") if part.strip()]
    if not all(key.strip() and equals for key, equals, _ in parts):
        raise ValueError("key=value pairs, separated by commas, are needed")
    return {unquote(key.strip()): unquote(item.strip()) for key, _, item in parts}


def _pairs(value: Any) -> dict[str, str]:
    return {key: str(item) for key, item in _attributes(value).items()}


def _switches(value: Any) -> dict[str, bool]:
    return {key: _flag(item) for key, item in _attributes(value).items()}


def _bounds(value: Any) -> tuple[float, ...]:
    """Return bounds of buckets, in ascending order."""
    parts = [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    try:
        bounds = {float(part) for part in parts}
    except (TypeError, ValueError):
        bounds = {math.nan}
    if not all(0 < bound < math.inf for bound in bounds):
        raise ValueError("numbers of seconds above 0, separated by commas, are needed")
    return tuple(sorted(bounds))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of a receiver; `whole` where it is used as it is, without the path of the signal."""

    url: str
    whole: bool = False


def _endpoint(value: Any) -> Endpoint:
    return Endpoint(_text(value))


def _state_folder(value: str) -> str:
    if not Path(value).is_absolute():
        raise ValueError("an absolute path is needed")  # https://specifications.freedesktop.org/basedir-spec/
    return str(Path(value, "mmtrace", "spool"))


def _content(value: Any) -> str:
    if str(value).lower() in _TRUE | _FALSE:
        return "SPAN_ONLY" if _flag(value) else "NO_CONTENT"
    chosen: str = choice("NO_CONTENT", "SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT").read(value)
    return chosen


def _genai_opt_in(value: str) -> str | None:
    return "next" if "gen_ai_latest_experimental" in _list(value) else None


TEXT: Final = Kind(_text)
FLAG: Final = Kind(_flag)
OTLP_TIMEOUT: Final = Kind(_otlp_timeout, lenient=True)
CONTENT: Final = Kind(_content)
GENAI_OPT_IN: Final = Kind(_genai_opt_in)
STATE_FOLDER: Final = Kind(_state_folder, lenient=True)
STANDARD_FLAG: Final = Kind(_standard_flag, lenient=True)
LIST: Final = Kind(_list)
PAIRS: Final = Kind(_pairs)
ATTRIBUTES: Final = Kind(_attributes, merges=True)
SWITCHES: Final = Kind(_switches)
BOUNDS: Final = Kind(_bounds)
SECONDS: Final = number(0)
MILLISECONDS: Final = number(0, scale=1e-3)
COUNT: Final = whole(0)
SOME: Final = whole(1)
ENDPOINT: Final = Kind(_endpoint)
WHOLE_ENDPOINT: Final = Kind(lambda value: Endpoint(_text(value), whole=True))
ANYTHING: Final = Kind(lambda value: value)
