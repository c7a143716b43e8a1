"""Patches as data, the engine that applies and undoes them, import hooks, and the report of what was reached.

`patch` and `options` are what an instrumentation declares and reads; they load nothing heavy. `engine` loads wrapt, so
that it is loaded by `mmtrace.instrument()` and never by `import mmtrace`.
"""
