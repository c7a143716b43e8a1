"""A worker that takes its work from a Redis stream."""

import json
import os

import redis
from scaling import scale

queue = redis.Redis(port=int(os.environ["REDIS_PORT"]))


def work():
    queue.xgroup_create("work", "workers", id="0", mkstream=True)
    while True:
        for _, entries in queue.xreadgroup("workers", "one", {"work": ">"}, count=1, block=1000) or ():
            for entry, fields in entries:
                assert fields.keys() == {b"value", b"reply"}
                queue.rpush(fields[b"reply"], json.dumps(scale([float(fields[b"value"])])))
                queue.xack("work", "workers", entry)


if __name__ == "__main__":
    work()
