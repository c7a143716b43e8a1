"""Words and `key=value` in spans: the part of a search that no index answers."""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import chain

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from mmtrace import attributes as names
from mmtrace.otlp.decode import value_of
from mmtrace.spans import AttributeValue

Matches = Callable[[bytes, bytes], bool]
"""Whether a serialized span, or its serialized resource, matches."""


def matcher(text: str) -> Matches:
    """Return what finds `text`: an attribute where it has the form `key=value`, else words in any case."""
    key, equals, value = text.partition("=")
    return has_attribute(key.strip(), value.strip()) if equals and key.strip() else _mentions(text.strip())


def has_attribute(key: str, value: str) -> Matches:
    """Return what finds an attribute of a span, of one of its events or of its resource that reads as `value`.

    Spans are kept as they came: one that was sent under an old name of `key` is found as well.
    """
    keys = frozenset({key, *_old_names(key)})
    needles = [name.encode(errors="replace") for name in keys]

    @lru_cache(maxsize=1024)
    def in_resource(resource: bytes) -> bool:
        return _any_reads(Resource.FromString(resource).attributes, keys, value)

    def matches(data: bytes, resource: bytes) -> bool:
        if in_resource(resource):
            return True
        return any(needle in data for needle in needles) and _any_reads(_attributes(Span.FromString(data)), keys, value)

    return matches


def _old_names(key: str) -> Iterator[str]:
    for renamed in (names.RENAMED, names.RENAMED_ON_SERVERS):
        yield from (old for old, new in renamed.items() if new == key)


def _mentions(words: str) -> Matches:
    needle = words.encode(errors="replace").lower()
    return lambda data, resource: needle in data.lower() or needle in resource.lower()


def _attributes(span: Span) -> Iterator[KeyValue]:
    return chain(span.attributes, *(event.attributes for event in span.events))


def _any_reads(pairs: Iterable[KeyValue], keys: frozenset[str], value: str) -> bool:
    return any(value in _readings(value_of(pair.value)) for pair in pairs if pair.key in keys)


def _readings(value: AttributeValue) -> set[str]:
    """Return the ways to write a value down: 8.0 may be 8 as well, an array any of its items."""
    if isinstance(value, bool):
        return {str(value).lower()}
    if isinstance(value, float):
        return {repr(value), f"{value:g}"}
    if isinstance(value, bytes):
        return {value.hex()}
    if isinstance(value, tuple):
        return set().union(*map(_readings, value))
    return {str(value)}
