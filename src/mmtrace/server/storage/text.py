"""Words and `key=value` in spans: the part of a search that no index answers.

Spans and resources are searched as the bytes that they are: an attribute is a run of bytes in them.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TypeAlias

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from mmtrace import attributes as names

Matches: TypeAlias = Callable[[bytes, bytes], bool]
"""Whether a serialized span, or its serialized resource, matches."""


def matcher(text: str) -> Matches:
    """Return what finds `text`: an attribute where it has the form `key=value`, else words in any case."""
    key, equals, value = text.partition("=")
    return has_attribute(key.strip(), value.strip()) if equals and key.strip() else _mentions(text.strip())


def has_attribute(key: str, value: str) -> Matches:
    """Return what finds an attribute of a span, its events, its links or its resource that reads as `value`.

    Spans are kept as they came: one that was sent under an old name of `key` is found as well.
    """
    runs = [
        KeyValue(key=_utf8(name), value=typed).SerializeToString()
        for name in {key, *_old_names(key)}
        for typed in _readings(_utf8(value))
    ]
    return lambda data, resource: any(run in data or run in resource for run in runs)


def _mentions(words: str) -> Matches:
    """Return what finds words in any case: a look at the bytes comes first, but ids and times are bytes as well."""
    needle = words.encode(errors="replace").lower()
    said = needle.decode()
    return lambda data, resource: (
        (needle in data.lower() or needle in resource.lower())
        and any(said in text.lower() for text in _texts_of(data, resource))
    )


def _texts_of(data: bytes, resource: bytes) -> Iterator[str]:
    span = Span.FromString(data)
    yield span.name
    yield span.status.message
    yield from _texts(span.attributes)
    yield from _texts(Resource.FromString(resource).attributes)
    for event in span.events:
        yield event.name
        yield from _texts(event.attributes)
    for link in span.links:
        yield from _texts(link.attributes)


def _texts(pairs: Iterable[KeyValue]) -> Iterator[str]:
    for pair in pairs:
        yield pair.key
        yield from _texts_in(pair.value)


def _texts_in(value: AnyValue) -> Iterator[str]:
    yield value.string_value
    yield from _texts(value.kvlist_value.values)
    for item in value.array_value.values:
        yield from _texts_in(item)


def _old_names(key: str) -> Iterator[str]:
    for renamed in (names.RENAMED, names.RENAMED_ON_SERVERS):
        yield from (old for old, new in renamed.items() if new == key)


def _readings(text: str) -> Iterator[AnyValue]:
    """Yield every value that is written as `text`: 8 may be text, a whole number or a fraction."""
    yield AnyValue(string_value=text)
    if text in {"true", "false"}:
        yield AnyValue(bool_value=text == "true")
    with suppress(ValueError):
        yield AnyValue(int_value=int(text))
    with suppress(ValueError):
        yield AnyValue(double_value=float(text))


def _utf8(text: str) -> str:
    return text.encode(errors="replace").decode()
