"""The client of the demo: a steady flow of images, one in twenty of them sent down the wrong lane."""

import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx
from sklearn.datasets import load_digits

MODELS = ("digit-reader", "digit-checker", "digit-narrator")
"""The models that every answered request went through."""
SLOW_ONE_IN = 20
BURST = 3
"""Requests that come at once, so that batches have something to serve."""


@dataclass
class Tally:
    """What the client itself saw; it knows nothing of spans."""

    requests: int = 0
    right: int = 0
    failed: int = 0
    slow: list[str] = field(default_factory=list)
    models: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    sentence: str = ""

    def as_json(self) -> str:
        """Return the report: `requests` answered, trace ids of the `slow` ones, calls by `models`."""
        report = {"requests": self.requests, "slow": self.slow, "models": dict(self.models), "failed": self.failed}
        return json.dumps(report, indent=2) + "\n"


class Load:
    """Sends `rate` requests a second to the gateway at `url` until it is stopped."""

    def __init__(self, url: str, rate: float) -> None:
        limits = httpx.Limits(keepalive_expiry=2)  # the server closes what is idle for five seconds
        self._client = httpx.Client(base_url=url, timeout=60, limits=limits)
        self._interval = 1 / rate
        self._images, self._digits = load_digits(return_X_y=True)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self.tally = Tally()

    def run(self, seconds: float | None) -> None:
        """Send requests for so many seconds, for ever where None is given, and wait for the answers."""
        began = time.monotonic()
        with ThreadPoolExecutor(max_workers=32) as workers:
            number = 0
            while not self._stopped.is_set() and (seconds is None or time.monotonic() - began < seconds):
                for _ in range(BURST):
                    workers.submit(self._request, number)
                    number += 1
                self._stopped.wait(max(0.0, began + number * self._interval - time.monotonic()))
        self._client.close()

    def stop(self) -> None:
        """Send no more requests."""
        self._stopped.set()

    def _request(self, number: int) -> None:
        index = number % len(self._images)
        slow = number % SLOW_ONE_IN == SLOW_ONE_IN // 2
        image = {"pixels": self._images[index].tolist(), "lane": "bulk" if slow else "interactive"}
        began = time.monotonic()
        try:
            with self._client.stream("POST", "/describe", json=image) as answer:
                answer.raise_for_status()
                reading, _, words = answer.read().decode().partition("\n")
        except httpx.HTTPError:
            with self._lock:
                self.tally.failed += 1
            return
        self._note(answer.headers["x-trace-id"], time.monotonic() - began, slow=slow)
        with self._lock:
            self.tally.right += json.loads(reading)["digit"] == int(self._digits[index])
            self.tally.sentence = words.strip()

    def _note(self, trace_id: str, seconds: float, *, slow: bool) -> None:
        with self._lock:
            self.tally.requests += 1
            self.tally.models.update(MODELS)
            self.tally.seconds.append(seconds)
            if slow:
                self.tally.slow.append(trace_id)
