"""asyncio: what runs in an executor of any kind runs in the context of the task that sent it there.

Tasks and callbacks have the context already. uvloop's own loop goes through the executor's submit.
"""

from mmtrace.instrumenting import Instrumentation, Patch
from mmtrace_instrumentation.shapes import task

instrumentation = Instrumentation(
    name="asyncio",
    patches=(Patch("asyncio.base_events:BaseEventLoop.run_in_executor", task.submitting("func", 1)),),
)
