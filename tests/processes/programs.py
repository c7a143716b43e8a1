"""Real programs under `mmtrace run`, each started as its users start it, several at a time."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ports import free_port

BIN = Path(sys.executable).parent
RUN = (str(BIN / "mmtrace"), "run")
AT_A_TIME = 4
OUTSIDE = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "MMTRACE_"))}
"""Read once: programs are started by threads, while the tests that ask for them change the variables."""


class Program:
    """A process with a group of its own; `log` is what it and its children said."""

    def __init__(self, command, environment, folder):
        self._log = folder / f"log-{len(list(folder.glob('log-*')))}"
        self.started = time.monotonic()
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def log(self):
        return self._log.read_text()

    def children(self):
        found = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=False
        )
        return [int(pid) for pid in found.stdout.split()]

    def wait(self, timeout=300):
        """Return the exit code, once nothing is left of the group, and how many seconds that took."""
        try:
            code = self.process.wait(timeout)
            while self._is_there():
                assert time.monotonic() < self.started + timeout
                time.sleep(0.02)
        except (subprocess.TimeoutExpired, AssertionError):
            raise AssertionError(f"hangs:\n{self.log}") from None
        return code, time.monotonic() - self.started

    def stop(self, number=signal.SIGTERM, *, insist=False):
        """Send a signal; return the exit code and how many seconds the end took.

        To `insist` is to send it to the children again: a signal is lost now and then on workers of gevent.
        """
        self.started = time.monotonic()
        self.process.send_signal(number)
        while insist and self.process.poll() is None and time.monotonic() < self.started + 20:
            time.sleep(1)
            for child in self.children():
                os.kill(child, number)
        return self.wait()

    def kill(self):
        """End what is left of the group."""
        if self._is_there():
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _is_there(self):
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True


class Server(Program):
    """A program that listens on `port`."""

    def __init__(self, command, environment, folder):
        self.port = free_port()
        super().__init__([part.format(port=self.port) for part in command], environment, folder)

    def ask(self, path="/"):
        """Return the answer; a connection that a worker closes unread, because it has served enough, is tried again."""
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
                    return answer.read().decode()
            except ConnectionResetError:
                assert self.process.poll() is None, self.log

    def ask_often(self, times, path="/"):
        """Ask with four clients at a time; return all answers."""
        with ThreadPoolExecutor(4) as clients:
            return list(clients.map(self.ask, [path] * times))

    def wait_until_it_says(self, words, times=1):
        """Return once the server and its workers have said these words so often."""
        deadline = time.monotonic() + 300
        while self.log.count(words) < times:
            assert time.monotonic() < deadline and self.process.poll() is None, self.log
            time.sleep(0.05)

    def wait_until_it_answers(self):
        """Return the first answer."""
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                return self.ask()
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
        raise AssertionError(f"the server did not start: {self.log}")


def environment(receiver, folder, protocol="http", **more):
    """Return the variables of a program that sends to `receiver`, and nothing before a minute is over."""
    return {
        **OUTSIDE,
        "PATH": os.pathsep.join((str(BIN), OUTSIDE["PATH"])),
        "MMTRACE_SPOOL_DIR": str(folder / "spool"),
        "MMTRACE_METRICS_DIR": str(folder / "metrics"),
        "OTEL_BSP_SCHEDULE_DELAY": "60000",
        **destination(receiver, protocol),
        **more,
    }


def destination(receiver, protocol):
    if protocol == "http":
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_url, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}


class Outcomes:
    """What became of the cases that tests ask for by `name`; they run some at a time.

    Asking for one that failed raises what it raised.
    """

    def __init__(self, request, run, cases):
        wanted = {item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")}
        request.getfixturevalue("tmp_path_factory").getbasetemp()  # made by the first who asks, one at a time
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            self._futures = {name: pool.submit(run, name, case) for name, case in cases.items() if name in wanted}

    def __getitem__(self, name):
        return self._futures[name].result()
