"""Real backends as processes: free loopback ports, data in a folder of their own, and their last words on failure."""

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from backends.programs import ROOT, program

CONFIG = ROOT / "collector-config"
START_SECONDS = 60


def executable(name):
    """Return the path of a backend; where it is missing the test is skipped aloud, in CI it fails."""
    path = program(name).path
    if not path.exists():
        message = f"{name} is missing: make backends"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return path


def until(condition, seconds=60.0, what=""):
    """Return the first true value of `condition()`; fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what or condition} (last: {value!r})"
        time.sleep(0.1)


class Running:
    """A program that runs while the block runs; `health` is an address that answers 200 once it is ready."""

    def __init__(self, name, arguments, folder, health, environment=None):
        self.folder = Path(folder)
        self.health = health
        self._command = [str(executable(name)), *map(str, arguments)]
        self._environment = {**os.environ, **{key: str(value) for key, value in (environment or {}).items()}}
        self._log = self.folder / f"{name}.log"
        self._process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.stop()

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self.folder, env=self._environment, stdout=log, stderr=subprocess.STDOUT
            )
        until(self._is_ready, START_SECONDS, f"{self._command[0]} answers on {self.health}")

    def kill(self):
        """kill -9: no chance to say goodbye."""
        self._process.kill()
        self._process.wait()

    def pause(self):
        """Let it stand still, with its connections open."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self):
        self._process.send_signal(signal.SIGCONT)

    def stop(self):
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()

    def log(self):
        return self._log.read_text()

    def _is_ready(self):
        assert self._process.poll() is None, f"{' '.join(self._command)} ended at start:\n{self.log()[-4000:]}"
        try:
            with urllib.request.urlopen(self.health, timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False
