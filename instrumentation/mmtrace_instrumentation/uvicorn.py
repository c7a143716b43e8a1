"""uvicorn: what was recorded is delivered at the end of the server, which then raises its signal again and is gone."""

from mmtrace.instrumenting import Instrumentation, Patch
from mmtrace_instrumentation.shapes import serving

instrumentation = Instrumentation(
    name="uvicorn",
    library="uvicorn",
    versions=">=0.15,<1",
    patches=(Patch("uvicorn.server:Server.shutdown", serving.at_last),),
)
