"""The test kit: record spans with known clocks and ids, and fail on what a test leaves behind.

with record_spans() as recorded:
    rerank("query", ["document"])
assert recorded.one().name == "rerank reranker"
"""

from mmtrace.testing.clock import CountingIds, SteadyClock
from mmtrace.testing.instrumentation import InstrumentationCases, instrumented
from mmtrace.testing.leaks import no_leaks
from mmtrace.testing.recording import RecordedSpans, record_spans

__all__ = [
    "CountingIds",
    "InstrumentationCases",
    "RecordedSpans",
    "SteadyClock",
    "instrumented",
    "no_leaks",
    "record_spans",
]
