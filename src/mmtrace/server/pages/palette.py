"""One colour for each service, the same on every page: a slot of the Okabe-Ito palette, which style sheets fill in."""

from collections.abc import Iterable
from threading import Lock
from typing import Final
from zlib import crc32

SLOTS: Final = 12
"""Six hues that colour-blind people tell apart, red left out because it means errors; then a second shade of each."""
_HUES: Final = 6


class Palette:
    """Gives each service a slot that depends on its name, or the next free one, and never takes it away again."""

    def __init__(self) -> None:
        self._slots: dict[str, int] = {}
        self._lock = Lock()

    def slot(self, service: str) -> int:
        """Return the slot of `service`, 0 to 11."""
        with self._lock:
            if service not in self._slots:
                self._slots[service] = self._free(crc32(service.encode(errors="surrogatepass")))
            return self._slots[service]

    def seed(self, services: Iterable[str]) -> None:
        """Give the known services their slots in order of name, so that a new start gives them the same ones."""
        for service in sorted(services):
            self.slot(service)

    def _free(self, wish: int) -> int:
        taken = set(self._slots.values())
        first = [(wish + step) % _HUES for step in range(_HUES)]
        second = [_HUES + slot for slot in first]
        return next((slot for slot in (*first, *second) if slot not in taken), wish % SLOTS)
