"""What is said of telemetry that was lost, or may be: a line for each cause with its remedy, again while it lasts."""

from typing import Final

from mmtrace.recording.guard import report

_AGAIN_AFTER: Final = 600.0


def report_loss(cause: str, message: str) -> None:
    """Log `message` the first time, and then every ten minutes in which it happens, with how often it did."""
    report(f"mmtrace.transport.{cause}", f"mmtrace: {message}", again_after=_AGAIN_AFTER)
