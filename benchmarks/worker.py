"""One side in one state, in a process of its own: measures when it is told to, and answers in JSON.

Reads one JSON object a line: a measure of `loads.py` by name, with its arguments. Ends with its standard input, as any
program does; the last line then says how many spans the side itself counted as lost.
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
    atexit.register(lambda: print(json.dumps({"lost": made.lost()}), flush=True))  # runs last: it was the first
    made = SIDES[side](state)
    print("ready", flush=True)
    for line in sys.stdin:
        told = json.loads(line)
        answer = getattr(loads, told.pop("measure"))(made, **told)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
