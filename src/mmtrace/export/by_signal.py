"""One exporter that sends each signal by another one, for protocols that differ by signal."""

from collections.abc import Mapping

from mmtrace.transport.signals import Exporter, Outcome, Signal


class BySignal:
    """Passes every signal to its own exporter; signals may share one."""

    def __init__(self, exporters: Mapping[Signal, Exporter]) -> None:
        self._exporters = dict(exporters)
        self._each = tuple({id(exporter): exporter for exporter in exporters.values()}.values())

    @property
    def where(self) -> str:
        """The destinations for messages."""
        return ", ".join(exporter.where for exporter in self._each)

    @property
    def quiet_before_fork(self) -> bool:
        """Whether one of them must be quiet before a fork."""
        return any(exporter.quiet_before_fork for exporter in self._each)

    def export(self, signal: Signal, body: bytes, count: int, timeout: float) -> Outcome:
        """Send `body` by the exporter of its signal."""
        exporter = self._exporters.get(signal)
        if exporter is None:
            return Outcome("unsupported", message=f"no receiver is set for {signal.label}")
        return exporter.export(signal, body, count, timeout)

    def close(self) -> None:
        """Close all of them."""
        for exporter in self._each:
            exporter.close()

    def after_fork(self) -> None:
        """Let all of them start over."""
        for exporter in self._each:
            exporter.after_fork()
