"""What became of telemetry, in numbers that add up."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias, get_args

from mmtrace.transport.tally import Tally

Reason: TypeAlias = Literal[
    "queue_full",
    "too_large",
    "rejected",
    "unsupported",
    "timeout",
    "shutdown",
    "encode_error",
    "spool_full",
    "spool_error",
]
"""Why an item was dropped.

`queue_full`: no room; `too_large`, `rejected`, `unsupported`: the destination does not take it; `timeout`: it could
not be delivered in time; `shutdown`: the process ended first; `encode_error`: it could not be encoded; `spool_full`:
it made way on disk for what is newer, or had become too old there; `spool_error`: it cannot be read from disk again.
"""

REASONS: Final[tuple[Reason, ...]] = get_args(Reason)


@dataclass(frozen=True, slots=True)
class Health:
    """The state of one pipeline for one signal: started = exported + dropped + queue_spans + spool_spans, always.

    `started` counts what this process took charge of: its own, and the `adopted` ones that a process left on disk.
    """

    started: int = 0
    adopted: int = 0
    exported: int = 0
    sampled_out: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    queue_spans: int = 0
    queue_bytes: int = 0
    queue_capacity: int = 0
    spool_spans: int = 0
    spool_bytes: int = 0


@dataclass(frozen=True, slots=True)
class FlushResult:
    """What became of spans and log records while a flush or a shutdown ran.

    `exported`: a receiver accepted them; `dropped`: given up, counted by reason in `Health`; when the time was over,
    `spooled` were on disk, for this process or the next one of the service to send, and `waiting` still in memory
    alone. A snapshot of metrics counts as none: the next one replaces it.
    """

    exported: int = 0
    spooled: int = 0
    dropped: int = 0
    waiting: int = 0

    def then(self, later: "FlushResult") -> "FlushResult":
        """Return the result of this flush and of one that followed: what is on disk or in memory is the later's."""
        return replace(later, exported=self.exported + later.exported, dropped=self.dropped + later.dropped)

    def __add__(self, other: "FlushResult") -> "FlushResult":
        return FlushResult(
            self.exported + other.exported,
            self.spooled + other.spooled,
            self.dropped + other.dropped,
            self.waiting + other.waiting,
        )


class Ledger:
    """What became of the items of one signal; every item is started once and settled once.

    `finished`: those that were settled after they had been queued or spooled.
    """

    __slots__ = ("_dropped", "adopted", "exported", "finished", "spooled", "started")

    def __init__(self) -> None:
        self.started = Tally()
        self.adopted = Tally()
        self.exported = Tally()
        self.spooled = Tally()
        self.finished = Tally()
        self._dropped = {reason: Tally() for reason in REASONS}

    def drop(self, reason: Reason, count: int) -> None:
        """Count items that were given up."""
        self._dropped[reason].add(count)

    def lose(self, reason: Reason, count: int) -> None:
        """Count items that were given up before they could wait."""
        self.started.add(count)
        self.drop(reason, count)

    def settle(self, count: int, exported: int, reason: Reason) -> None:
        """Count items that had been kept: so many were delivered, the rest dropped for a reason."""
        if exported:
            self.exported.add(exported)
        if exported < count:
            self.drop(reason, count - exported)
        self.finished.add(count)

    def unspool(self, count: int, exported: int, reason: Reason) -> None:
        """Count items that had been kept on disk alone."""
        self.spooled.add(-count)
        self.settle(count, exported, reason)

    def adopt(self, count: int) -> None:
        """Count items that another process left on disk."""
        self.started.add(count)
        self.adopted.add(count)
        self.spooled.add(count)

    @property
    def dropped(self) -> dict[str, int]:
        """Items given up, by reason; only reasons that occurred."""
        return {reason: tally.value for reason, tally in self._dropped.items() if tally.value}

    def read(self) -> tuple[int, int, dict[str, int], int]:
        """Return started, exported, dropped and spooled; read in an order in which what waits is never negative."""
        exported, dropped, spooled = self.exported.value, self.dropped, self.spooled.value
        return self.started.value, exported, dropped, spooled

    @property
    def waiting(self) -> int:
        """Items that are in memory alone."""
        started, exported, dropped, spooled = self.read()
        return started - exported - sum(dropped.values()) - spooled

    @property
    def goal(self) -> int:
        """What `finished` will be when all that waits now, in memory or on disk, is settled."""
        return self.finished.value + self.spooled.value + self.waiting
