"""Brokers for tests, on the loopback address, empty at first and gone in the end."""

import os
import shutil
import socket
import subprocess
import time

import confluent_kafka
import pytest

from ports import free_port


class RedisServer:
    """A redis-server of its own that keeps nothing on disk."""

    def __init__(self, folder):
        self._folder = folder
        self.program = shutil.which("redis-server")

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def __enter__(self):
        if self.program is None:
            message = "redis-server is not installed"
            pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
        self.port = free_port()
        options = {"port": self.port, "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": self._folder}
        arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        self._process = subprocess.Popen([self.program, *arguments], stdout=subprocess.DEVNULL)
        self._wait()
        return self

    def __exit__(self, *error):
        self._process.kill()
        self._process.wait()

    def _wait(self):
        deadline = time.monotonic() + 300
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert self._process.poll() is None and time.monotonic() < deadline, "redis-server did not start"
                time.sleep(0.01)


class KafkaBroker:
    """The broker that confluent-kafka has for tests: real TCP ports, nothing durable."""

    def __enter__(self):
        self._home = confluent_kafka.Producer({"test.mock.num.brokers": 1, "log_level": 0})
        (broker,) = self._home.list_topics(timeout=30).brokers.values()
        self.servers = f"{broker.host}:{broker.port}"
        return self

    def __exit__(self, *error):
        del self._home
