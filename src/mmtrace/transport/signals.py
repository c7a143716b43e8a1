"""The seam between what records and what sends: a signal, the bytes of it, and what became of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal, Protocol, TypeAlias


class Signal(IntEnum):
    """What a piece of telemetry is; also the index into anything that is kept once per signal."""

    TRACES = 0
    METRICS = 1
    LOGS = 2

    @property
    def label(self) -> str:
        """`traces`, `metrics` or `logs`."""
        return self.name.lower()

    @property
    def path(self) -> str:
        """Where OTLP over HTTP receives it, relative to the base address: `/v1/traces`."""
        return f"/v1/{self.label}"


class Framing(Protocol):
    """What payloads of one kind share on the wire; hashable."""

    def wrap(self, spans: Sequence[bytes], /) -> bytes:
        """Return a piece of a request body that holds these payloads."""
        ...


Kind: TypeAlias = Literal["accepted", "retry", "rejected", "unsupported", "too_large"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a destination said about one request.

    `accepted`: it has all but `rejected` of the items. `retry`: it may have them later, `retry_after` seconds from now
    where it said so. `rejected`: it never takes these. `unsupported`: it does not know the signal. `too_large`: it may
    take them in smaller requests. `message` says what was wrong and what would be right. `answered`: somebody is there.
    """

    kind: Kind
    rejected: int = 0
    message: str = ""
    retry_after: float | None = None
    answered: bool = True


ACCEPTED: Final = Outcome("accepted")


class Exporter(Protocol):
    """One destination. Its methods are never called by two threads at once, except `close`."""

    @property
    def where(self) -> str:
        """The destination for messages, without credentials."""
        ...

    @property
    def quiet_before_fork(self) -> bool:
        """Whether a fork must wait until no export is in flight."""
        ...

    def export(self, signal: Signal, body: bytes, count: int, timeout: float) -> Outcome:
        """Send `body`, the OTLP request of `count` items in protobuf, within `timeout` seconds."""
        ...

    def close(self) -> None:
        """Let go of connections and files."""
        ...

    def after_fork(self) -> None:
        """Start over in a forked child: use nothing that the parent opened, close nothing that it still uses."""
        ...
