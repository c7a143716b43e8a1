"""The files of a folder that processes share: where it is, who may read it, and whose snapshot each file is.

In <base>/mmtrace-metrics-<uid>/<group>/ are

- `lock`, held while the folder is read or changed;
- `speaker`, held by the process that answers and pushes for all;
- `totals.json`, the sum over the dead, and who of them is in it;
- `<id>.lock`, held by a living process;
- `<id>.json`, its last snapshot.
"""

import os
import shutil
import stat
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from mmtrace.metrics.shared.locks import FileLock, is_held

LOCK: Final = "lock"
SPEAKER: Final = "speaker"
TOTALS: Final = "totals.json"

_OF_MEMBER: Final = ".json"
_LOCK_OF_MEMBER: Final = ".lock"
_NEW: Final = ".new"
_BAD: Final = ".bad"
_READING: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_WRITING: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
_FORGOTTEN_AFTER: Final = 86_400.0


def home(base: str) -> Path:
    """Return the folder for all groups of this user below `base`, or below the system's folder for such files.

    That is not `tempfile.gettempdir()`, which is the working directory where the right one cannot be written to:
    processes that share must find the same.
    """
    folder = Path(base or os.environ.get("TMPDIR") or "/tmp").absolute()  # noqa: S108 - who owns it is checked
    return folder / f"mmtrace-metrics-{os.geteuid()}"


def make_private(folder: Path) -> bool:
    """Make `folder` where there is none, and say whether that was so.

    Raises OSError where others own it, may write to it, or have put a link.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    is_new = False
    with suppress(FileExistsError):
        folder.mkdir(0o700)
        is_new = True
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(f"{folder} is no folder, or a link to one")
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} belongs to somebody else, or others may use it")
    return is_new


def write(path: Path, text: str) -> None:
    """Replace the file at `path` at once: whoever reads it sees the old or the new one, never a part."""
    new = path.with_name(f"{path.name}.{os.getpid()}{_NEW}")
    try:
        with os.fdopen(os.open(new, _WRITING, 0o600), "w") as file:
            file.write(text)
        new.replace(path)
    except OSError:
        with suppress(OSError):
            new.unlink()
        raise


def read(path: Path) -> str | None:
    """Return what the file holds, or None where there is none."""
    try:
        with os.fdopen(os.open(path, _READING)) as file:
            return file.read()
    except FileNotFoundError:
        return None


def join(folder: Path, member: str) -> FileLock:
    """Return the lock by which `member` is known to live: it is held before others can see it."""
    lock = FileLock.take(folder / f"{member}{_NEW}")
    if lock is None:
        raise FileExistsError(f"{member} is somebody else's name")
    lock.move(folder / f"{member}{_LOCK_OF_MEMBER}")
    return lock


def version(path: Path) -> tuple[int, int, int]:
    """Return what differs as soon as the file at `path` is another one."""
    found = path.lstat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def snapshot(folder: Path, member: str) -> Path:
    """Return where the snapshot of `member` is."""
    return folder / f"{member}{_OF_MEMBER}"


def members(folder: Path) -> set[str]:
    """Return everybody who has a file."""
    found = (entry.name.partition(".") for entry in _entries(folder) if entry.name != TOTALS)
    return {member for member, _, suffix in found if f".{suffix}" in {_OF_MEMBER, _LOCK_OF_MEMBER}}


def lives(folder: Path, member: str) -> bool:
    """Whether the process of `member` lives."""
    return is_held(folder / f"{member}{_LOCK_OF_MEMBER}")


def remove(folder: Path, dead: Collection[str]) -> None:
    """Remove the files of the dead, unfinished ones too."""
    for entry in _entries(folder) if dead else ():
        if entry.name.partition(".")[0] in dead:
            Path(entry.path).unlink(missing_ok=True)


def set_aside(path: Path) -> None:
    """Give a file that cannot be read another name; the one that was set aside before is gone."""
    with suppress(FileNotFoundError):
        path.replace(path.with_name(f"damaged{_BAD}"))


def changes(folder: Path, but: str) -> frozenset[tuple[str, int]]:
    """Return who, other than `but`, has written a snapshot, and when."""
    others = (entry for entry in _entries(folder) if entry.name.endswith(_OF_MEMBER) and entry.name != TOTALS)
    written = ((entry.name.removesuffix(_OF_MEMBER), _written_at(entry)) for entry in others)
    return frozenset((member, moment) for member, moment in written if moment and member != but)


def last_change(folder: Path) -> float:
    """Return when a snapshot or the totals were written last, in seconds since the epoch."""
    return max((_written_at(entry) for entry in _entries(folder) if entry.name.endswith(_OF_MEMBER)), default=0) / 1e9


def empty(folder: Path) -> None:
    """Forget everything that the dead have left."""
    for entry in _entries(folder):
        if entry.name not in {LOCK, SPEAKER}:
            Path(entry.path).unlink(missing_ok=True)


def sweep(home_: Path, but: Path) -> None:
    """Remove groups of which nobody has been heard for a day; their locks tell whether somebody lives."""
    with os.scandir(home_) as entries:
        groups = [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    for group in groups:
        with suppress(OSError):
            if group != but and time.time() - _heard_of(group) > _FORGOTTEN_AFTER:
                _remove_unless_used(group)


def _heard_of(group: Path) -> float:
    """Return when somebody has written there, in seconds since the epoch; a folder that is being made is empty."""
    return max(last_change(group), group.lstat().st_mtime)


def _remove_unless_used(group: Path) -> None:
    lock = FileLock.take(group / LOCK)
    if lock is not None:
        if not any(lives(group, member) for member in members(group)):
            shutil.rmtree(group, ignore_errors=True)
        lock.release()


def _written_at(entry: "os.DirEntry[str]") -> int:
    """Return the time in nanoseconds since the epoch, 0 for a file that has just been removed."""
    try:
        return entry.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _entries(folder: Path) -> Iterator["os.DirEntry[str]"]:
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        yield from entries
