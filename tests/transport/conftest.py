"""A destination in memory that a test steers, pipelines that end with the test, and patience."""

import threading
import time
from collections import deque

import pytest

from mmtrace.recording import guard
from mmtrace.transport import ACCEPTED, Pipeline


class Shelf:
    """An exporter that keeps what it accepts. `answers` are given first; while `open` is not set, it hangs."""

    where = "the shelf"
    quiet_before_fork = False

    def __init__(self):
        self.kept = []
        self.seen = []
        self.answers = deque()
        self.open = threading.Event()
        self.open.set()
        self.busy = threading.Event()
        self.closed = 0
        self.forks = 0

    def export(self, signal, body, count, timeout):
        self.seen.append((time.monotonic(), count, timeout))
        self.busy.set()
        self.open.wait()
        answer = self.answers.popleft() if self.answers else ACCEPTED
        if isinstance(answer, Exception):
            raise answer
        if answer.kind == "accepted":
            self.kept.append((signal, body, count))
        return answer

    def close(self):
        self.closed += 1

    def after_fork(self):
        self.forks += 1

    @property
    def bodies(self):
        return [body for _, body, _ in self.kept]

    @property
    def counts(self):
        return [count for _, _, count in self.kept]


@pytest.fixture
def shelf():
    return Shelf()


@pytest.fixture
def pipeline(shelf):
    """Makes pipelines, to the shelf by default, and shuts them down when the test ends."""
    made = []

    def make(exporter=shelf, **options):
        made.append(Pipeline(exporter, **options))
        return made[-1]

    yield make
    shelf.open.set()
    for each in made:
        each.shutdown(2)


@pytest.fixture(autouse=True)
def _strict():
    """A fault of ours fails the test."""
    guard.strict = True
    yield
    guard.strict = False
