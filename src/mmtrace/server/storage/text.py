"""Words and `key=value` in spans: the part of a search that no index answers."""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import chain

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from mmtrace.otlp.decode import value_of
from mmtrace.spans import AttributeValue

Matches = Callable[[bytes, bytes], bool]
"""Whether a serialized span, or its serialized resource, matches."""


def matcher(text: str) -> Matches:
    """Return what finds `text`: an attribute where it has the form `key=value`, else words in any case."""
    key, equals, value = text.partition("=")
    return has_attribute(key.strip(), value.strip()) if equals and key.strip() else _mentions(text.strip())


def has_attribute(key: str, value: str) -> Matches:
    """Return what finds an attribute of a span, of one of its events or of its resource that reads as `value`."""
    needle = key.encode(errors="replace")

    @lru_cache(maxsize=1024)
    def in_resource(resource: bytes) -> bool:
        return _any_reads(Resource.FromString(resource).attributes, key, value)

    def matches(data: bytes, resource: bytes) -> bool:
        if needle in resource and in_resource(resource):
            return True
        return needle in data and _any_reads(_attributes(Span.FromString(data)), key, value)

    return matches


def _mentions(words: str) -> Matches:
    needle = words.encode(errors="replace").lower()
    return lambda data, resource: needle in data.lower() or needle in resource.lower()


def _attributes(span: Span) -> Iterator[KeyValue]:
    return chain(span.attributes, *(event.attributes for event in span.events))


def _any_reads(pairs: Iterable[KeyValue], key: str, value: str) -> bool:
    return any(value in _readings(value_of(pair.value)) for pair in pairs if pair.key == key)


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
