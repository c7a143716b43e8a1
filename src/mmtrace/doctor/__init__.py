"""The checks of `mmtrace doctor`: what keeps telemetry from arriving, and what would be right.

Each check returns findings; `examination` runs all of them, and `rendering` shows the report.
"""
