"""The memory limit of the control group that this process is in, of version 1 or 2.

Source: https://www.kernel.org/doc/html/latest/admin-guide/cgroup-v2.html and cgroup-v1/memory.html.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

_UNLIMITED: Final = 1 << 60
"""Version 1 writes the largest whole number of pages where there is no limit."""
_FILES: Final = {"cgroup": "memory.limit_in_bytes", "cgroup2": "memory.max"}


def memory_limit(proc: Path = Path("/proc/self")) -> int | None:
    """Return the least limit of the group and of those around it, in bytes; None where there is none.

    `proc`: the folder of the process. Never raises.
    """
    try:
        folders = list(_folders(_groups(proc), (proc / "mountinfo").read_text()))
    except (OSError, ValueError):
        return None
    return min((limit for folder, file in folders if (limit := _limit(folder / file)) is not None), default=None)


def _groups(proc: Path) -> dict[str, str]:
    """Return the path of the process's group by the type of file system: that of memory, and that of version 2."""
    found = {}
    for line in (proc / "cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            found["cgroup"] = path
        elif number == "0":
            found["cgroup2"] = path
    return found


def _folders(groups: dict[str, str], mounts: str) -> Iterator[tuple[Path, str]]:
    """Yield the folder of the group and those around it, as far as they are mounted here, with the name of its file."""
    for line in mounts.splitlines():
        place, _, kind = line.partition(" - ")
        root, mounted = place.split()[3:5]
        system, _, options = kind.split(" ", 2)
        if system not in groups or (system == "cgroup" and "memory" not in options.split(" ")[-1].split(",")):
            continue
        top, inside = Path(_unescaped(mounted)), Path(groups[system])
        below = inside.relative_to(root) if inside.is_relative_to(root) else Path()
        for folder in (top / below, *(top / below).parents):
            yield folder, _FILES[system]
            if folder == top:
                break


def _unescaped(path: str) -> str:
    return path.encode().decode("unicode_escape") if "\\" in path else path


def _limit(file: Path) -> int | None:
    try:
        limit = int(file.read_text())
    except (OSError, ValueError):  # `max`, or no such file
        return None
    return limit if limit < _UNLIMITED else None
