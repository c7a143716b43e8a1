"""Locks on files, by which processes know that others live: the system frees them however a process ends.

They are those of `flock`, which belong to the open file. So two locks of one process exclude each other, and none is
lost when its file is opened and closed elsewhere in the process, as locks of POSIX are. But a forked child has the open
file too, and would hold the lock for its dead parent: it closes it at once. Process ids would say nothing where
containers share a folder.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import Final

from mmtrace.recording.forks import at_fork

_PAUSE: Final = 0.005
_FLAGS: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


class FileLock:
    """An exclusive lock on a file, from `take` to `release`, to the end of the process, or to a fork in the child."""

    __slots__ = ("__weakref__", "_file", "_path")

    def __init__(self, path: Path, file: int) -> None:
        self._path = path
        self._file: int | None = file
        at_fork(self, in_child=FileLock.start_over)

    @classmethod
    def take(cls, path: Path, *, patience: float = 0.0, create: bool = True) -> "FileLock | None":
        """Return the lock on the file at `path`, or None where somebody else holds it for `patience` seconds.

        Raises OSError where the file can be neither opened nor made.
        """
        deadline = time.monotonic() + patience
        while True:
            lock = cls(path, os.open(path, _FLAGS | (os.O_CREAT if create else 0), 0o600))
            if lock._lock() and lock.is_in_place():
                return lock
            busy = lock.is_in_place()
            lock.release()
            if busy and time.monotonic() >= deadline:
                return None
            if busy:
                time.sleep(_PAUSE)

    def is_in_place(self) -> bool:
        """Whether the file is still the one that others find at its path."""
        try:
            found = self._path.lstat()
        except FileNotFoundError:
            return False
        return self._file is not None and os.path.samestat(found, os.fstat(self._file))

    def move(self, path: Path) -> None:
        """Give the file another name, under which it appears locked."""
        self._path.rename(path)
        self._path = path

    def release(self) -> None:
        """Let others have the lock, whoever else has a copy of the open file."""
        file, self._file = self._file, None
        if file is not None:
            fcntl.flock(file, fcntl.LOCK_UN)
            os.close(file)

    def start_over(self) -> None:
        """Let go of the file in a forked child; the parent keeps the lock."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _lock(self) -> bool:
        assert self._file is not None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def is_held(path: Path) -> bool:
    """Whether a process holds the lock on the file at `path`, which need not exist."""
    try:
        lock = FileLock.take(path, create=False)
    except FileNotFoundError:
        return False
    if lock is not None:
        lock.release()
    return lock is None
