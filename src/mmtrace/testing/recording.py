"""Records spans in memory, by the way that they take to a receiver, and asks that a test claims each of them."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.resources import Resource

from mmtrace import attributes as names
from mmtrace.calls import telemetry
from mmtrace.calls.telemetry import ContentPolicy, Telemetry
from mmtrace.otlp.decode import decode_traces
from mmtrace.otlp.encode import encode_span
from mmtrace.otlp.frames import frame_of
from mmtrace.recording import TracerProvider, facade, guard
from mmtrace.recording.recorder import Redact
from mmtrace.spans import SpanData, Trace, clock
from mmtrace.testing.clock import CountingIds, SteadyClock


class RecordedSpans:
    """The spans that ended; a test takes them, and those that it left are an error at the end.

    It is a span processor, so that it can be added to any provider.
    """

    on_start = None
    _on_ending = None

    def __init__(self) -> None:
        self._spans: list[SpanData] = []
        self.clock = SteadyClock()

    def on_end(self, span: Any) -> None:
        """Keep what a receiver would decode."""
        self._spans += decode_traces(frame_of(span).wrap([encode_span(span)]))

    def shutdown(self) -> None:
        """Do nothing."""

    def force_flush(self, timeout_millis: int = 0) -> bool:
        """Do nothing: a span is here as soon as it ends."""
        return True

    def take(self) -> list[SpanData]:
        """Return the spans that ended since the last time, by the time of their end, and claim them."""
        taken, self._spans = self._spans, []
        return taken

    def one(self) -> SpanData:
        """Return the only span that ended, and claim it."""
        (span,) = self.take()
        return span

    def trace(self) -> Trace:
        """Return the only trace whose spans ended, and claim it."""
        return Trace.of(self.take())

    def named(self, name: str) -> SpanData:
        """Return the only span called `name`, and claim it alone."""
        (found,) = (span for span in self._spans if span.name == name)
        self._spans.remove(found)
        return found

    @property
    def unclaimed(self) -> tuple[SpanData, ...]:
        """The spans that nobody has taken yet."""
        return tuple(self._spans)


@contextmanager
def record_spans(
    *,
    sampler: Any = None,
    redact: Redact | None = None,
    content: ContentPolicy | None = None,
    strict: bool = True,
    deterministic: bool = True,
    service: str = "test",
) -> Generator[RecordedSpans]:
    """Record every span of this process in memory inside the block.

    Model metrics begin at zero. With `deterministic`, clocks go on by a millisecond a reading and ids count from one.
    With `strict`, a fault of mmtrace is raised where it happens. Raises AssertionError at the end for spans that nobody
    took.
    """
    recorded = RecordedSpans()
    ids: dict[str, Any] = {"clock": recorded.clock, "ids": CountingIds()} if deterministic else {}
    provider = TracerProvider(Resource({names.SERVICE_NAME: service}), sampler, redact=redact, **ids)
    provider.add_span_processor(recorded)
    telemetry.metrics.start_over()
    told = Telemetry(telemetry.api_tracer(), content or ContentPolicy(), service=service)
    with _clocks(recorded.clock if deterministic else clock), _strict(strict), _behind_the_facade(provider, told):
        yield recorded
    left = ", ".join(repr(span.name) for span in recorded.unclaimed)
    assert not left, f"spans that nobody claimed: {left}"


@contextmanager
def _behind_the_facade(provider: TracerProvider, told: Telemetry) -> Generator[None]:
    before, face = telemetry.current, facade.install()
    behind = face.provider
    face.put(provider)
    telemetry.install(told)
    try:
        yield
    finally:
        telemetry.install(before)
        face.put(behind)


@contextmanager
def _clocks(chosen: Any) -> Generator[None]:
    before = clock.wall, clock.monotonic
    _set_clocks(chosen.wall, chosen.monotonic)
    try:
        yield
    finally:
        _set_clocks(*before)


def _set_clocks(wall: Any, monotonic: Any) -> None:
    for name, function in (("wall", wall), ("monotonic", monotonic)):
        setattr(clock, name, function)


@contextmanager
def _strict(strict: bool) -> Generator[None]:  # noqa: FBT001  # private
    before = guard.strict
    guard.strict = strict
    try:
        yield
    finally:
        guard.strict = before
