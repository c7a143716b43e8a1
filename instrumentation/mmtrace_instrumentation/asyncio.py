"""asyncio: what runs in an executor of any kind runs in the context of the task that sent it there.

Tasks and callbacks have the context already. uvloop's own loop goes through the executor's submit. What was recorded is
delivered when a signal stops the loop's runner. How late loops run what is due is measured, uvloop's as well.
"""

from mmtrace.instrumenting import Instrumentation, Patch
from mmtrace_instrumentation.shapes import loop, serving, task

instrumentation = Instrumentation(
    name="asyncio",
    patches=(
        Patch("asyncio.base_events:BaseEventLoop.run_in_executor", task.submitting("func", 1)),
        Patch("asyncio.base_events:BaseEventLoop.run_forever", loop.measured),
        Patch("asyncio:run", serving.until_stopped),
        Patch("asyncio.runners:Runner.run", serving.until_stopped, optional=True),
    ),
)

uvloop = Instrumentation(
    name="uvloop",
    library="uvloop",
    versions=">=0.17",
    patches=(Patch("uvloop:Loop.run_forever", loop.measured),),
)
