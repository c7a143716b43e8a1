"""socketserver: what was recorded is delivered when a signal stops a server of the standard library, or Werkzeug's."""

from mmtrace.instrumenting import Instrumentation, Patch
from mmtrace_instrumentation.shapes import serving

instrumentation = Instrumentation(
    name="socketserver",
    patches=(Patch("socketserver:BaseServer.serve_forever", serving.until_stopped),),
)
