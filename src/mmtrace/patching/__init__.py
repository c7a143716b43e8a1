"""Patches as data, the engine that applies and undoes them, import hooks, and the report of what was reached.

`patch` and `options` are what an instrumentation declares and reads; they load nothing heavy. `process` holds the
instrumentations of this process; it loads wrapt, so that `mmtrace.instrument()` loads it and `import mmtrace` does not.
"""

from mmtrace.patching.options import Options, options
from mmtrace.patching.patch import Instrumentation, Patch, Wrapper

__all__ = ["Instrumentation", "Options", "Patch", "Wrapper", "options"]
