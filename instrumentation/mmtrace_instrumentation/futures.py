"""concurrent.futures: what is submitted to a pool of threads or processes runs in the submitter's context.

`map` of both pools goes through `submit`.
"""

from mmtrace.instrumenting import Instrumentation, Patch
from mmtrace_instrumentation.shapes import task

instrumentation = Instrumentation(
    name="futures",
    patches=(
        Patch("concurrent.futures.thread:ThreadPoolExecutor.submit", task.submitting("fn")),
        Patch("concurrent.futures.process:ProcessPoolExecutor.submit", task.submitting("fn")),
    ),
)
