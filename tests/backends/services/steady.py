"""A service that makes traces of three spans until its standard input ends, and then writes their ids to argv[1]."""

import sys
import threading
from pathlib import Path

import mmtrace

if __name__ == "__main__":
    mmtrace.configure(service="steady-service")
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    made = []
    while not ended.wait(0.01):
        with mmtrace.span("request"), mmtrace.model_call("steady-model", task="embed"), mmtrace.span("inner") as span:
            made.append(format(span.get_span_context().trace_id, "032x"))
    Path(sys.argv[1]).write_text("\n".join(made))
    sys.stdout.write(f"{mmtrace.flush(timeout=60)}\n")
