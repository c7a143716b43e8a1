"""What the operating system knows of this process; what it does not tell is left out."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

from mmtrace import attributes as names
from mmtrace.attributes import Metric
from mmtrace.runtime_metrics.cgroup import memory_limit

Values: TypeAlias = list[tuple[dict[str, Any], float]]

_PROC: Final = Path("/proc/self")


def of_process() -> Iterator[tuple[Metric, Values]]:
    """Yield memory in bytes, CPU time in seconds, threads and file descriptors, each by its attributes."""
    times = os.times()
    cpu: Values = [({names.CPU_MODE: "user"}, times.user), ({names.CPU_MODE: "system"}, times.system)]
    yield names.PROCESS_CPU_TIME, cpu
    numbers = (
        (names.PROCESS_MEMORY_USAGE, _memory()),
        (names.PROCESS_MEMORY_LIMIT, memory_limit()),
        (names.PROCESS_THREAD_COUNT, _threads()),
        (names.PROCESS_FILE_DESCRIPTOR_COUNT, _file_descriptors()),
    )
    for metric, number in numbers:
        if number is not None:
            yield metric, [({}, number)]


def _memory() -> int | None:
    try:
        resident = int((_PROC / "statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return resident * os.sysconf("SC_PAGE_SIZE")


def _threads() -> int:
    """Return all threads, also those that are not Python's; only Python's where the system does not tell."""
    return _entries(_PROC / "task") or threading.active_count()


def _file_descriptors() -> int | None:
    found = _entries(_PROC / "fd") or _entries(Path("/dev/fd"))
    return found and found - 1  # the one of the folder itself


def _entries(folder: Path) -> int | None:
    try:
        return sum(1 for _ in folder.iterdir())
    except OSError:
        return None
