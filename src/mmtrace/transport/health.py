"""What became of telemetry, in numbers that add up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

from mmtrace.transport.tally import Tally

Reason: TypeAlias = Literal["queue_full", "too_large", "rejected", "unsupported", "timeout", "shutdown", "encode_error"]
"""Why an item was dropped.

`queue_full`: no room; `too_large`, `rejected`, `unsupported`: the destination does not take it; `timeout`: it could
not be delivered in time; `shutdown`: the process ended first; `encode_error`: it could not be encoded.
"""

REASONS: Final[tuple[Reason, ...]] = get_args(Reason)


@dataclass(frozen=True, slots=True)
class Health:
    """The state of one pipeline for one signal: started = exported + dropped + queue_spans, in every snapshot."""

    started: int = 0
    exported: int = 0
    sampled_out: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    queue_spans: int = 0
    queue_bytes: int = 0
    queue_capacity: int = 0


@dataclass(frozen=True, slots=True)
class FlushResult:
    """What became of spans and log records while a flush or a shutdown ran.

    `exported`: a receiver accepted them; `spooled`: kept on disk; `dropped`: given up, counted by reason in `Health`;
    `waiting`: still in memory when the time was over. A snapshot of metrics counts as none: the next one replaces it.
    """

    exported: int = 0
    spooled: int = 0
    dropped: int = 0
    waiting: int = 0

    def __add__(self, other: "FlushResult") -> "FlushResult":
        return FlushResult(
            self.exported + other.exported,
            self.spooled + other.spooled,
            self.dropped + other.dropped,
            self.waiting + other.waiting,
        )


class Ledger:
    """What became of the items of one signal; every item is started once and settled once."""

    __slots__ = ("_dropped", "exported", "started")

    def __init__(self) -> None:
        self.started = Tally()
        self.exported = Tally()
        self._dropped = {reason: Tally() for reason in REASONS}

    def drop(self, reason: Reason, count: int) -> None:
        """Count items that were given up."""
        self._dropped[reason].add(count)

    @property
    def dropped(self) -> dict[str, int]:
        """Items given up, by reason; only reasons that occurred."""
        return {reason: tally.value for reason, tally in self._dropped.items() if tally.value}

    def read(self) -> tuple[int, int, dict[str, int]]:
        """Return started, exported and dropped; read in an order in which the rest, what waits, is never negative."""
        exported, dropped = self.exported.value, self.dropped
        return self.started.value, exported, dropped
