"""One side in one state, in a process of its own: measures when it is told to, and answers in JSON.

Reads one JSON object a line: a measure of `loads.py` by name, with its arguments. Ends with its standard input, as any
program does; the last line then says how many spans the side itself counted as lost, and how many are on disk.
"""

import atexit
import json
import os
import sys

import loads
from sides import SIDES


def main():
    side, state = sys.argv[1:]
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    atexit.register(lambda: tell({"lost": made.lost(), "spooled": made.spooled()}))  # the first to come runs last
    made = SIDES[side](state)
    print("ready", flush=True)
    for line in sys.stdin:
        told = json.loads(line)
        answer = getattr(loads, told.pop("measure"))(made, **told)
        tell(answer)


def tell(figures):
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
