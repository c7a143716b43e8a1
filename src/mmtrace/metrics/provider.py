"""The stock MeterProvider, for processes that fork."""

from threading import Lock

from opentelemetry.sdk import metrics


class MeterProvider(metrics.MeterProvider):
    """A stock MeterProvider that detects no resource in a forked child: snapshots bring their own.

    The stock one starts threads for that, which some servers that fork in C never let run, and waits for them.
    """

    def _handle_fork(self) -> None:
        self._lock = Lock()
        self._meter_lock = Lock()
