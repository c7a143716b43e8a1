"""What spans of one resource and one scope share on the wire."""

from collections.abc import Sequence
from typing import Any, Final

from mmtrace.otlp.values import Keys, attributes_field
from mmtrace.otlp.wire import VARINTS, field, text_field

_RESOURCE_KEYS: Final = Keys(b"\x0a")
_SCOPE_KEYS: Final = Keys(b"\x1a")
_FRAMES_KEPT: Final = 256


class Frame:
    """The encoded Resource and InstrumentationScope around spans; hashable, and equal only to itself."""

    __slots__ = ("_content",)

    def __init__(self, resource: Any, scope: Any) -> None:
        self._content = (
            field(b"\x0a", attributes_field(_RESOURCE_KEYS, resource.attributes)),
            field(b"\x0a", _scope_message(scope)),
            text_field(b"\x1a", scope.schema_url) if scope is not None else b"",
            text_field(b"\x1a", resource.schema_url),
        )

    def wrap(self, spans: Sequence[bytes]) -> bytes:
        """Return the ResourceSpans field of a request that holds `spans`, each as `encode_span` gave it."""
        resource, scope, scope_schema, resource_schema = self._content
        inner = len(scope) + sum(map(len, spans)) + len(scope_schema)
        outer = len(resource) + 1 + len(VARINTS[inner]) + inner + len(resource_schema)
        head = b"".join((b"\x0a", VARINTS[outer], resource, b"\x12", VARINTS[inner], scope))
        return b"".join((head, *spans, scope_schema, resource_schema))  # copied once: it may be megabytes

    def shared(self) -> "Frame":
        """Return the frame of the same content that is kept, this one where there is none."""
        return _by_content.setdefault(self._content, self)


def _scope_message(scope: Any) -> bytes:
    if scope is None:
        return b""
    named = text_field(b"\x0a", scope.name) + text_field(b"\x12", scope.version)
    return named + attributes_field(_SCOPE_KEYS, scope.attributes)


_by_scope: Final[dict[int, tuple[Any, Any, Frame]]] = {}
_by_content: Final[dict[tuple[bytes, ...], Frame]] = {}


def frame_of(span: Any) -> Frame:
    """Return the frame of a span: one for each resource and scope, shared by those that are equal."""
    scope = span.instrumentation_scope
    try:
        resource = span._recorder.resource  # its property costs three times as much
    except AttributeError:
        resource = span.resource
    kept = _by_scope.get(id(scope))
    if kept is not None and kept[0] is scope and kept[1] is resource:
        return kept[2]
    return _keep(resource, scope)


def _keep(resource: Any, scope: Any) -> Frame:
    if len(_by_scope) >= _FRAMES_KEPT:
        _by_scope.clear()
        _by_content.clear()
    frame = Frame(resource, scope).shared()
    _by_scope[id(scope)] = (scope, resource, frame)
    return frame
