"""What the operating system says of this very process, and of control groups of both versions."""

import mmap
import resource
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from mmtrace.runtime_metrics.cgroup import memory_limit

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


def one(points):
    (point,) = points
    return point.value


@linux
def test_memory_is_what_the_process_holds_now(measured):
    before = one(measured()["process.memory.usage"])
    with mmap.mmap(-1, 64 << 20) as held:
        held.write(b"x" * (64 << 20))
        during = one(measured()["process.memory.usage"])
    after = one(measured()["process.memory.usage"])
    assert during - before > 60 << 20
    assert during - after > 60 << 20
    assert during <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 + (4 << 20)


def test_cpu_time_is_the_processs_own_by_mode(measured):
    def total():
        points = measured()["process.cpu.time"]
        assert {point.attributes["cpu.mode"] for point in points} == {"user", "system"}
        return sum(point.value for point in points)

    before, began = total(), time.process_time()
    while time.process_time() - began < 0.2:
        pass
    assert 0.15 < total() - before <= time.process_time() - began + 0.05


@linux
def test_threads_and_file_descriptors_are_counted():
    program = """
        import os, threading
        from mmtrace.runtime_metrics.measuring import RuntimeMetrics
        metrics, go = RuntimeMetrics(), threading.Event()
        def count(name):
            (points,) = (metric.data.data_points for metric in metrics.collect() if metric.name == name)
            return points[0].value
        for _ in range(2):
            print(count("process.thread.count"), count("process.unix.file_descriptor.count"))
            threading.Thread(target=go.wait).start()
            os.pipe()
        go.set()
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=300, check=True)
    (threads, files), after = ([int(word) for word in line.split()] for line in done.stdout.splitlines())
    assert after == [threads + 1, files + 2]


V2 = "30 23 0:26 / {root}/sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
V1 = "35 31 0:32 {of} {root}/sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"


@pytest.fixture
def system(tmp_path):
    """A system in a folder: what /proc says of the process, and files of control groups."""

    def system(cgroup, mountinfo, **files):
        proc = tmp_path / "proc"
        proc.mkdir()
        (proc / "cgroup").write_text(cgroup)
        (proc / "mountinfo").write_text(mountinfo.replace("{root}", str(tmp_path)))
        for path, text in files.items():
            file = tmp_path / "sys/fs/cgroup" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return memory_limit(proc)

    return system


def test_version_2_in_a_container_of_its_own(system):
    assert system("0::/\n", V2, **{"memory.max": "536870912\n"}) == 512 << 20


def test_version_2_takes_the_least_limit_of_the_groups_around(system):
    files = {"a/memory.max": "1000\n", "a/b/memory.max": "max\n", "a/b/c/memory.max": "5000\n"}
    assert system("0::/a/b/c\n", V2, **files) == 1000


def test_version_2_without_a_limit_has_none(system):
    assert system("0::/a\n", V2, **{"a/memory.max": "max\n"}) is None


def test_version_1_in_a_container_whose_mount_is_its_own_group(system):
    files = {"memory/memory.limit_in_bytes": "268435456\n"}
    assert system("5:cpu:/x\n4:memory:/docker/1f\n", V1.replace("{of}", "/docker/1f"), **files) == 256 << 20


def test_version_1_takes_the_least_limit_of_the_groups_around(system):
    files = {"memory/a/memory.limit_in_bytes": "1000\n", "memory/memory.limit_in_bytes": "9223372036854771712\n"}
    files["memory/a/b/memory.limit_in_bytes"] = "9223372036854771712\n"
    assert system("4:memory:/a/b\n0::/\n", V1.replace("{of}", "/") + V2, **files) == 1000


def test_version_1_without_a_limit_has_none(system):
    files = {"memory/memory.limit_in_bytes": "9223372036854771712\n"}
    assert system("4:memory:/\n", V1.replace("{of}", "/"), **files) is None


def test_a_group_that_lies_outside_of_what_is_mounted_is_taken_for_the_mounted_one(system):
    assert system("0::/../../elsewhere\n", V2, **{"memory.max": "4096\n"}) == 4096


@pytest.mark.parametrize("cgroup", ["", "nonsense\n", "0::/\n"])
def test_what_cannot_be_read_is_no_limit(system, cgroup):
    assert system(cgroup, "30 23\n" if cgroup else "") is None


def test_a_system_without_proc_has_no_limit(tmp_path):
    assert memory_limit(tmp_path) is None


@linux
def test_the_limit_of_this_machine_is_one_that_its_files_name():
    limit = memory_limit()
    files = [file for name in ("memory.max", "memory.limit_in_bytes") for file in Path("/sys/fs/cgroup").rglob(name)]
    assert limit is None or str(limit) in {file.read_text().strip() for file in files}
