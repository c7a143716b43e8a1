"""The folder that the processes of one service on this host share: each writes its snapshot, any can read the sum.

The dead are added up once. The file with their sum names those who are in it, and is replaced before their own files
are removed: a reader, or whoever goes on after a crash between the two, counts nobody twice.
"""

import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from opentelemetry.sdk.metrics.export import MetricsData

from mmtrace import attributes as names
from mmtrace.errors import DecodeError
from mmtrace.metrics.shared import members
from mmtrace.metrics.shared.locks import FileLock
from mmtrace.metrics.shared.stored import Stored, dump, load
from mmtrace.metrics.shared.sums import OfProcess, Sums, rendered
from mmtrace.recording.forks import at_fork
from mmtrace.recording.guard import report

_PATIENCE: Final = 2.0
"""Seconds for which a process waits for another that reads the folder."""


@dataclass(frozen=True, slots=True)
class _Group:
    """What `totals.json` says: the sum over the dead, and what the group is called and since when."""

    totals: MetricsData
    instance: str
    start: int
    buried: frozenset[str]


class Folder:
    """This process's way to the others of its group; every method may raise OSError, and none is for two threads.

    Args:
        base: where the folders of all groups are; the system's folder for temporary files if empty.
        group: name of the folder.
        keep: seconds for which totals go on after the last process has ended; where it is 0, an orderly end of the last
            one ends them, and a crash leaves them a minute.
    """

    def __init__(self, base: str, group: str, *, keep: float = 0.0) -> None:
        self._home = members.home(base)
        self.path = self._home / group
        self._keep = keep
        self._alive: FileLock | None = None
        self._speaker: FileLock | None = None
        self.start_over()
        at_fork(self, in_child=Folder.start_over)

    def start_over(self) -> None:
        """Be nobody yet, in a new process; its locks have been let go of by themselves."""
        self._id = uuid.uuid4().hex
        self._alive = self._speaker = None
        self._seen: frozenset[tuple[str, int]] = frozenset()
        self._living_then = 0
        self._read: tuple[tuple[int, int, int], _Group] | None = None

    # --- this process -------------------------------------------------------------------------------------------------

    def join(self) -> None:
        """Be one of the living, if this process is not yet."""
        if self._alive is not None:
            if self._alive.is_in_place():
                return
            self._alive.release()
        members.make_private(self._home)
        if members.make_private(self.path):
            members.sweep(self._home, self.path)
        with self._locked():
            if not self._living():
                self._forget_the_outdated()
            self._alive = members.join(self.path, self._id)

    def publish(self, data: MetricsData) -> None:
        """Let the others see what this process has measured until now."""
        self.join()
        members.write(members.snapshot(self.path, self._id), dump(data))

    def leave(self) -> None:
        """Be one of the dead: what was published last counts from now on."""
        self.resign()
        alive, self._alive = self._alive, None
        if alive is None:
            return
        with self._locked():
            alive.release()
            if not self._keep and not self._living():
                members.empty(self.path)

    @property
    def has_joined(self) -> bool:
        """Whether this process is one of the living."""
        return self._alive is not None

    @property
    def speaks(self) -> bool:
        """Whether this process speaks for all."""
        return self._speaker is not None

    def has_company(self) -> bool:
        """Whether there are, or were, others whose end has not been noticed."""
        return bool(members.members(self.path) - {self._id})

    def is_crowded(self, most: int = 64) -> bool:
        """Whether the files of over `most` processes have gathered since the last `total`."""
        return len(members.members(self.path)) > most + self._living_then

    # --- the one that speaks for all ----------------------------------------------------------------------------------

    def claim(self) -> bool:
        """Speak for all from now on, unless another process does."""
        if self._speaker is not None and self._speaker.is_in_place():
            return True
        self.resign()
        self.join()
        self._speaker = FileLock.take(self.path / members.SPEAKER)
        return self._speaker is not None

    def resign(self) -> None:
        """Let another process speak."""
        speaker, self._speaker = self._speaker, None
        if speaker is not None:
            speaker.release()

    def has_news(self) -> bool:
        """Whether another process has published something since the last `total`."""
        return members.changes(self.path, self._id) != self._seen

    # --- all processes ------------------------------------------------------------------------------------------------

    def total(self, own: MetricsData, instance: str = "") -> MetricsData:
        """Return the sum over all processes; of this one it is `own`, which must have been published.

        Args:
            own: what this process has measured until now.
            instance: the `service.instance.id` of the sum, where the user named one.
        """
        self.join()
        with self._locked():
            seen = members.changes(self.path, self._id)
            group = self._group()
            others = members.members(self.path) - {self._id}
            living = {member for member in others if members.lives(self.path, member)}
            dead, self._living_then = others - living, len(living)
            sums = Sums(group.totals)
            for data in self._snapshots(dead - group.buried):
                sums.bury(data)
            found = sums.with_living(_told_apart([own, *self._snapshots(living)]))
            if sums.changed or dead:
                self._replace(_Group(sums.totals(), group.instance, group.start, frozenset(dead)))
            self._seen = frozenset((member, moment) for member, moment in seen if member not in dead)
        return rendered(found, instance=instance or group.instance, start=group.start, now=time.time_ns())

    # --- files --------------------------------------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = FileLock.take(self.path / members.LOCK, patience=_PATIENCE)
        if lock is None:
            raise TimeoutError(f"{self.path} is in use by a process that does not go on")
        try:
            yield
        finally:
            lock.release()

    def _living(self) -> bool:
        return any(members.lives(self.path, member) for member in members.members(self.path))

    def _forget_the_outdated(self) -> None:
        if abs(time.time() - members.last_change(self.path)) > (self._keep or 60.0):
            members.empty(self.path)

    def _group(self) -> _Group:
        """Return what the file with the totals says, which is read only where another process has replaced it."""
        path = self.path / members.TOTALS
        try:
            if self._read is not None and self._read[0] == members.version(path):
                return self._read[1]
        except FileNotFoundError:
            pass
        stored = self._load(path)
        try:
            if stored is not None:
                facts = stored.facts
                buried = frozenset(map(str, facts["buried"]))
                return _Group(stored.data, str(facts["instance"]), int(facts["start"]), buried)
        except (LookupError, TypeError, ValueError):
            members.set_aside(path)
        group = _Group(MetricsData([]), str(uuid.uuid4()), time.time_ns(), frozenset())
        self._write(group)
        return group

    def _replace(self, group: _Group) -> None:
        """Keep the totals; where they cannot be written, the dead keep their files and are counted anew each time."""
        try:
            self._write(group)
            members.remove(self.path, group.buried)
        except OSError as error:
            report("metrics.shared.totals", f"mmtrace: the totals of {self.path} cannot be written: {error}")

    def _write(self, group: _Group) -> None:
        facts = {"instance": group.instance, "start": group.start, "buried": sorted(group.buried)}
        members.write(self.path / members.TOTALS, dump(group.totals, **facts))
        self._read = members.version(self.path / members.TOTALS), group

    def _snapshots(self, those: Iterable[str]) -> Iterator[MetricsData]:
        for member in those:
            stored = self._load(members.snapshot(self.path, member))
            if stored is not None:
                yield stored.data

    def _load(self, path: Path) -> Stored | None:
        try:
            text = members.read(path)
            return None if text is None else load(text)
        except (DecodeError, UnicodeDecodeError) as error:
            report("metrics.shared.damaged", f"mmtrace: {path} is set aside and not counted: {error}")
            members.set_aside(path)
            return None


def _told_apart(snapshots: Iterable[MetricsData]) -> Iterator[OfProcess]:
    """Yield the snapshots with the id of their process, and a longer one where containers have the same ids."""
    seen: set[Any] = set()
    for data in snapshots:
        attributes = data.resource_metrics[0].resource.attributes if data.resource_metrics else {}
        pid = attributes.get(names.PROCESS_PID, 0)
        keys = (names.PROCESS_PID, names.SERVICE_INSTANCE_ID) if pid in seen else (names.PROCESS_PID,)
        seen.add(pid)
        yield OfProcess(data, {key: attributes[key] for key in keys if key in attributes})
