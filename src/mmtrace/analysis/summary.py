"""One trace in one line: the share of queues, of compute and of the rest."""

from dataclasses import dataclass

from mmtrace.analysis.phases import Phase
from mmtrace.analysis.where import time_spent
from mmtrace.spans import Trace


@dataclass(frozen=True, slots=True)
class Summary:
    """Seconds of a trace that models waited and worked, and the seconds that are left; they add up to its duration."""

    queue: float
    compute: float
    rest: float


def summarize(trace: Trace) -> Summary:
    """Sum up where the time of `trace` went."""
    spent = time_spent(trace)
    return Summary(
        queue=spent.of(Phase.WAITING),
        compute=spent.of(Phase.COMPUTING, Phase.STREAMING),
        rest=spent.of(Phase.NETWORK, Phase.OTHER),
    )
