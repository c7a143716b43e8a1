"""A service whose model is slow while the file argv[1] exists; it ends when its standard input does."""

import sys
import threading
import time
from pathlib import Path

import mmtrace

SLOW = Path(sys.argv[1])


@mmtrace.model("moody-model", task="rerank")
def rerank():
    time.sleep(0.4 if SLOW.exists() else 0.01)


if __name__ == "__main__":
    mmtrace.configure(service="moody-service")
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.wait(0.05):
        rerank()
