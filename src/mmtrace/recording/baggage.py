"""W3C Baggage over the wire, bounded."""

import logging
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote, unquote, unquote_plus

from opentelemetry import baggage
from opentelemetry.context import set_value
from opentelemetry.context.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator, default_getter, default_setter

from mmtrace.recording.fields import values_of
from mmtrace.recording.guard import report

MAX_BYTES: Final = 8192
"""Bytes of all members together."""
MAX_MEMBERS: Final = 180
"""Members; the standard asks for 64 at least."""

_BAGGAGE: Final = "baggage"
_TOKEN_MARKS: Final = "!#$&'*+^`|~"  # noqa: S105
_VALUE_MARKS: Final = "!#$&'()*/:<=>?@[]^`{|}~"
_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105
_OCTETS: Final = r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*"
_MEMBER: Final = re.compile(rf"({_TOKEN})[ \t]*=[ \t]*({_OCTETS})")
_PLAIN_MEMBER: Final = re.compile(
    r"([!#$&'*+\-.^_`|~0-9A-Za-z]+)=([\x21\x23\x24\x26-\x2a\x2d-\x3a\x3c-\x5b\x5d-\x7e]*)"
)
"""A member that reads the same before and after encoding: no percent sign, no plus in its value, no properties."""
_PROPERTY: Final = re.compile(rf"{_TOKEN}(?:[ \t]*=[ \t]*{_OCTETS})?")


class BaggageValue(str):
    """A value of baggage that carries `properties`, `;key=value` as it came; they travel on with it."""

    __slots__ = ("properties",)

    properties: str

    @classmethod
    def of(cls, value: str, properties: str) -> str:
        """Return `value` with its properties, a plain str where there are none."""
        if not properties:
            return value
        carrying = cls(value)
        carrying.properties = properties
        return carrying


class W3CBaggagePropagator(TextMapPropagator):
    """The header `baggage`: at most 180 members in 8,192 bytes.

    An oversized header is left out, and so is each malformed member and each one too many: counted, never raised.
    Source: https://www.w3.org/TR/baggage/.
    """

    def extract(self, carrier: Any, context: Context | None = None, getter: Any = default_getter) -> Context:
        """Return `context` (default: the root) with the baggage of `carrier` added to what it has."""
        context = Context() if context is None else context
        header = ",".join(values_of(carrier, _BAGGAGE, getter))
        found = dict(_members(header)) if header else {}
        if not found:
            return context
        return set_value(baggage._BAGGAGE_KEY, {**baggage.get_all(context), **found}, context)

    def inject(self, carrier: Any, context: Context | None = None, setter: Any = default_setter) -> None:
        """Write the baggage of `context` (default: the current one) into `carrier`."""
        if header := ",".join(_bounded(baggage.get_all(context))):
            setter.set(carrier, _BAGGAGE, header)

    @property
    def fields(self) -> set[str]:
        """The header that `inject` writes."""
        return {_BAGGAGE}


def _members(header: str) -> Iterator[tuple[str, str]]:
    if len(header) > MAX_BYTES:
        _refuse("is too long")
        return
    members = [member for text in header.split(",") if (member := text.strip(" \t"))]
    if len(members) > MAX_MEMBERS:
        _refuse("has too many members")
    for member in members[:MAX_MEMBERS]:
        if (plain := _PLAIN_MEMBER.fullmatch(member)) is not None:
            yield plain[1], plain[2]
            continue
        pair, *properties = (part.strip(" \t") for part in member.split(";"))
        match = _MEMBER.fullmatch(pair)
        if match is None or not all(map(_PROPERTY.fullmatch, properties)):
            _refuse("has a malformed member")
            continue
        yield unquote(match[1]), BaggageValue.of(unquote_plus(match[2]), "".join(f";{text}" for text in properties))


def _bounded(entries: Any) -> Iterator[str]:
    room, members = MAX_BYTES + 1, MAX_MEMBERS
    for key, value in entries.items():
        member = f"{key}={value}"
        if (plain := _PLAIN_MEMBER.fullmatch(member)) is None or plain[1] != key:
            member = f"{quote(str(key), safe=_TOKEN_MARKS)}={quote(str(value), safe=_VALUE_MARKS)}"
        member += getattr(value, "properties", "")
        if not members or len(member) + 1 > room:
            _refuse("to be sent is too large")
            continue
        room, members = room - len(member) - 1, members - 1
        yield member


def _refuse(why: str) -> None:
    report(_BAGGAGE, f"mmtrace: a baggage {why}; what does not fit is left out", level=logging.DEBUG)
