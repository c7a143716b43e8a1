"""The folder of one service: a file for each process and signal, bounded in all, left to whoever comes next."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from mmtrace.transport.signals import Signal
from mmtrace.transport.spool_file import DAMAGED, SUFFIX, WAL, SpoolFile, Taken

_PRIVATE: Final = 0o700
_TRIES: Final = 3
_LARGEST_ROW: Final = 1 << 18
_PARTS: Final = 16
"""A row, and what SQLite has not yet moved into the file, are at most such a part of the folder's bound each."""


class _Entry(NamedTuple):
    path: Path
    size: int
    changed: float


class Folder:
    """Files of batches in `path`, together at most `max_bytes` large; what is older than `max_age` seconds goes.

    A disk that is almost full is a smaller bound. Processes share the folder without knowing each other: each holds a
    file of its own, and takes over those that nobody holds.
    """

    def __init__(self, path: Path, *, max_bytes: int, max_age: float) -> None:
        self.path = path
        self.max_age = max_age
        self._max_bytes = max_bytes

    @property
    def part(self) -> int:
        """How many bytes to write at once at the most."""
        return max(1, min(self._max_bytes, self._free()) // _PARTS)

    @property
    def row_bytes(self) -> int:
        """How large a batch is on disk at the most."""
        return min(self.part, _LARGEST_ROW)

    def _free(self) -> int:
        try:
            disk = os.statvfs(self.path)
        except OSError:
            return self._max_bytes
        return disk.f_bavail * disk.f_frsize

    def create(self, signal: Signal) -> SpoolFile:
        """Return a new file, in a folder that only its owner may read. Raises OSError, sqlite3.Error and Taken."""
        self.path.mkdir(_PRIVATE, parents=True, exist_ok=True)
        for _ in range(_TRIES):  # another process may take an empty file for one that was left behind
            with contextlib.suppress(Taken):
                return SpoolFile.create(self.path, signal.label, self.part)
        raise Taken("every new file was taken at once")

    def left_behind(self, signal: Signal) -> Iterator[Path]:
        """Yield the files of a signal that may be without a process, the longest unchanged first.

        One of no bytes has just been made, and whoever made it is about to lock it.
        """
        for entry in sorted(self._entries(), key=lambda entry: entry.changed):
            if entry.size and entry.path.suffix == SUFFIX and entry.path.name.startswith(signal.label + "-"):
                yield entry.path

    def open(self, path: Path) -> SpoolFile:
        """Return a file that is there. Raises Taken where another process holds it; sqlite3.Error."""
        return SpoolFile(path, self.part)

    def allowance(self, held: Path) -> int:
        """Return how many bytes of batches the file at `held` may have: what others leave, at least a fair share.

        Some of the bound, and more of the disk, is left for what SQLite needs beside the batches themselves.
        """
        entries = self._entries()
        own = sum(entry.size for entry in entries if entry.path.name.startswith(held.name))
        others = sum(entry.size for entry in entries) - own
        files = sum(entry.path.suffix == SUFFIX for entry in entries)
        share = max(self._max_bytes - others, self._max_bytes // max(files, 1))
        return min(share * 3 // 4, (own + self._free()) * 5 // 8)

    def tidy(self) -> None:
        """Remove what has become useless: old files that are damaged or empty, and logs whose file is gone."""
        for entry in self._entries():
            useless = entry.path.suffix == DAMAGED or (entry.path.suffix == SUFFIX and not entry.size)
            stale = useless and entry.changed < time.time() - self.max_age
            orphan = entry.path.name.endswith(WAL) and not Path(str(entry.path).removesuffix(WAL)).exists()
            if stale or orphan:
                with contextlib.suppress(OSError):
                    entry.path.unlink()

    def _entries(self) -> list[_Entry]:
        """Return what is there; nothing where that cannot be seen, which is said when it is needed for writing."""
        found: list[_Entry] = []
        with contextlib.suppress(OSError), os.scandir(self.path) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat()
                    found.append(_Entry(Path(entry.path), status.st_size, status.st_mtime))
        return found
