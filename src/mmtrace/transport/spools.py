"""The folder of one service: a file for each process and signal, bounded in all, left to whoever comes next."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from mmtrace.transport.signals import Signal
from mmtrace.transport.spool_file import DAMAGED, SUFFIX, WAL, SpoolFile, Taken

_TRIES: Final = 3
_SPARE: Final = 4
_LARGEST_ROW: Final = 1 << 18
_PARTS: Final = 16
"""A row, and what SQLite has not yet moved into the file, are at most such a part of the folder's bound each."""


class _Entry(NamedTuple):
    path: Path
    size: int
    changed: float


class Folder:
    """Files of batches in `path`, together at most `max_bytes` large; what is older than `max_age` seconds goes.

    Processes share it without knowing each other: each holds its own file, and takes over those that nobody holds.
    """

    def __init__(self, path: Path, *, max_bytes: int, max_age: float) -> None:
        self.path = path
        self.max_age = max_age
        self._max_bytes = max_bytes
        self.most = max_bytes - max_bytes // _SPARE
        self._part = max(1, max_bytes // _PARTS)
        self.row_bytes = min(self._part, _LARGEST_ROW)

    def create(self, signal: Signal) -> SpoolFile:
        """Return a new file. Raises OSError, sqlite3.Error and Taken."""
        for _ in range(_TRIES):  # another process may take an empty file for one that was left behind
            with contextlib.suppress(Taken):
                return SpoolFile.create(self.path, signal.label, self._part)
        raise Taken("every new file was taken at once")

    def left_behind(self, signal: Signal) -> Iterator[Path]:
        """Yield the files of a signal that may be without a process, the longest unchanged first."""
        for entry in sorted(self._entries(), key=lambda entry: entry.changed):
            if entry.path.suffix == SUFFIX and entry.path.name.startswith(signal.label + "-"):
                yield entry.path

    def open(self, path: Path) -> SpoolFile:
        """Return a file that is there. Raises Taken where another process holds it; sqlite3.Error."""
        return SpoolFile(path, self._part)

    def allowance(self, held: Path) -> int:
        """Return how many bytes of batches the file at `held` may have: what others leave, at least a fair share.

        Some of the bound is left for what SQLite needs beside the batches themselves.
        """
        others = [entry for entry in self._entries() if not entry.path.name.startswith(held.name)]
        files = 1 + sum(entry.path.suffix == SUFFIX for entry in others)
        left = max(self._max_bytes - sum(entry.size for entry in others), self._max_bytes // files)
        return left - left // _SPARE

    def tidy(self) -> None:
        """Remove what has become useless: damaged files that are too old, and logs whose file is gone."""
        for entry in self._entries():
            stale = entry.path.suffix == DAMAGED and entry.changed < time.time() - self.max_age
            orphan = entry.path.name.endswith(WAL) and not Path(str(entry.path).removesuffix(WAL)).exists()
            if stale or orphan:
                with contextlib.suppress(OSError):
                    entry.path.unlink()

    def _entries(self) -> list[_Entry]:
        found: list[_Entry] = []
        with contextlib.suppress(FileNotFoundError), os.scandir(self.path) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat()
                    found.append(_Entry(Path(entry.path), status.st_size, status.st_mtime))
        return found
