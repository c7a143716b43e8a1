"""celery: what was recorded is delivered when a process of a prefork pool ends, which it does by `os._exit`."""

from mmtrace.instrumenting import Instrumentation, Patch
from mmtrace_instrumentation.shapes import serving

instrumentation = Instrumentation(
    name="celery",
    library="celery",
    versions=">=5.3,<6",
    patches=(Patch("celery.concurrency.prefork:process_destructor", serving.at_last),),
)
