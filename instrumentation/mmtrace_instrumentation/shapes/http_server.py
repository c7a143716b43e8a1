"""What servers of HTTP share, whatever interface they call applications by: one SERVER span for each request."""

from collections.abc import Iterable
from typing import Any

from typing_extensions import Self

from mmtrace import attributes as names
from mmtrace.instrumenting import Context, SpanKind, get_current_span
from mmtrace_instrumentation.shapes import http
from mmtrace_instrumentation.shapes.exchange import Exchange


class ServerExchange(Exchange):
    """A request that is served; `_labels` is what the metric of its duration tells of it."""

    __slots__ = ("_labels", "_method")

    _labels: dict[str, Any]
    _method: str

    @classmethod
    def begin(
        cls, method: str, scheme: str, version: str | None, parent: Context, more: Iterable[tuple[str, Any]]
    ) -> Self:
        """Start the span of a request; `more` attributes are on the span alone."""
        name, labels = http.method_attributes(method)
        labels[names.URL_SCHEME] = scheme
        if version:
            labels[names.NETWORK_PROTOCOL_VERSION] = version
        request = cls.start(name, kind=SpanKind.SERVER, parent=parent, attributes={**labels, **dict(more)})
        request._method, request._labels = name, labels
        return request

    @property
    def _status(self) -> int:
        return int(self._labels.get(names.HTTP_RESPONSE_STATUS_CODE, 0))

    def _set_status(self, status: int) -> None:
        self._labels[names.HTTP_RESPONSE_STATUS_CODE] = status
        self.set_attribute(names.HTTP_RESPONSE_STATUS_CODE, status)

    def _set_route(self, route: str) -> None:
        self._labels[names.HTTP_ROUTE] = route
        self.set_attribute(names.HTTP_ROUTE, route)
        self.span.update_name(f"{self._method} {route}")

    def _measure(self, elapsed: int, error: BaseException | None, error_type: str | None) -> None:
        if not isinstance(error, GeneratorExit):  # in a finalizer, metrics could wait for themselves
            self.measure(names.HTTP_SERVER_DURATION, elapsed, self._labels, error_type)


def in_server_span() -> bool:
    """Whether the current span is that of a request to a server, ours or anybody's."""
    span: Any = get_current_span()
    return getattr(span, "kind", None) is SpanKind.SERVER and span.is_recording()
