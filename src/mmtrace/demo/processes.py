"""Child processes of the demo: started in order, each ready before the next, and stopped cleanly."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Final

from mmtrace.errors import CommandError

START_SECONDS = 90
"""The models are trained at start; a small machine takes a while for four at once."""
STOP_SECONDS = 15
_ELSEWHERE: Final = re.compile(r"OTEL_EXPORTER_OTLP_(\w+_)?(ENDPOINT|PROTOCOL)|MMTRACE_(ENDPOINT|PROTOCOL)")


def free_ports(number: int) -> list[int]:
    """Return so many TCP ports of the loopback address that nothing listens on, no two of them the same."""
    with contextlib.ExitStack() as held:
        listeners = [held.enter_context(socket.socket()) for _ in range(number)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [int(listener.getsockname()[1]) for listener in listeners]


def _inherited() -> dict[str, str]:
    """Return the environment without what would send telemetry elsewhere, or in another way."""
    return {name: value for name, value in os.environ.items() if not _ELSEWHERE.fullmatch(name)}


class Child:
    """One process of the demo; `port` is the one that answers once it is ready."""

    def __init__(self, name: str, command: Sequence[str], port: int, environment: Mapping[str, str]) -> None:
        self.name = name
        self.port = port
        # A session of its own: Ctrl-C is for the demo, which stops its children in order.
        self._process = subprocess.Popen(  # noqa: S603  # our own modules
            [sys.executable, "-m", *command],
            env={**_inherited(), **environment},
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait_until_ready(self) -> None:
        """Return once the port answers.

        Raises CommandError where the process ended or took too long.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise CommandError(f"{self.name} ended at start with exit code {self._process.returncode}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise CommandError(f"{self.name} did not answer on port {self.port} within {START_SECONDS} s")

    def stop(self) -> None:
        """Ask the process to end, as a supervisor does, and wait until it has."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
