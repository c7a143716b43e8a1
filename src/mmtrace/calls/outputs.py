"""The items of a streamed answer: when the first came, how steadily the rest, and how long the consumer took."""

from typing import Final

from opentelemetry.trace import Span

from mmtrace import attributes as names

_MOST_GAPS: Final = 4096
_STALL: Final = 5
_MOST_MARKED: Final = 16


class Outputs:
    """Counts and times of the items of one stream; moments are monotonic nanoseconds."""

    __slots__ = ("_began", "_consumer", "_first_at", "_gaps", "_last_at", "count", "how_it_ended")

    def __init__(self, began: int) -> None:
        self._began = began
        self._first_at: int | None = None
        self._last_at = began
        self._gaps: list[tuple[int, int]] = []
        self._consumer = 0
        self.count = 0
        self.how_it_ended: str | None = None

    def item(self, now: int, count: int = 1, held: int = 0) -> None:
        """Note `count` items at the moment `now`; the consumer `held` the stream for so long before (nanoseconds)."""
        self.count += count
        self._consumer += held
        if self._first_at is None:
            self._first_at = now
        elif len(self._gaps) < _MOST_GAPS:
            self._gaps.append((now - self._last_at - held, now))
        self._last_at = now

    def held(self, nanoseconds: int) -> None:
        """Note that the consumer held the stream for so long."""
        self._consumer += nanoseconds

    @property
    def first(self) -> float | None:
        """Seconds to the first item."""
        return None if self._first_at is None else (self._first_at - self._began) / 1e9

    @property
    def per_output(self) -> float | None:
        """Mean seconds per item after the first, the consumer's own time left out."""
        if not self._gaps or self.count < 2:
            return None
        return sum(gap for gap, _ in self._gaps) / (self.count - 1) / 1e9

    def stalls(self) -> list[int]:
        """Return the moments of items that came after over five times the median gap."""
        if len(self._gaps) < 3:
            return []
        gaps = sorted(gap for gap, _ in self._gaps)
        median = (gaps[(len(gaps) - 1) // 2] + gaps[len(gaps) // 2]) / 2  # the module for it takes 2 ms to load
        limit = _STALL * median
        return [at for gap, at in self._gaps if gap > limit]

    def record(self, span: Span, start_time: int) -> None:
        """Write what is known to `span`, which started at `start_time` (nanoseconds since the epoch)."""
        stalls = self.stalls()
        span.set_attribute(names.OUTPUT_COUNT, self.count)
        span.set_attribute(names.OUTPUT_STALLS, len(stalls))
        if self.how_it_ended is not None:
            span.set_attribute(names.STREAM_END, self.how_it_ended)
            span.set_attribute(names.CONSUMER_DURATION, self._consumer / 1e9)
        if self._first_at is not None:
            span.set_attribute(names.TIME_TO_FIRST_OUTPUT, (self._first_at - self._began) / 1e9)
            span.add_event(names.FIRST_OUTPUT, timestamp=start_time + self._first_at - self._began)
        for at in stalls[:_MOST_MARKED]:
            span.add_event(names.OUTPUT_STALL, timestamp=start_time + at - self._began)
