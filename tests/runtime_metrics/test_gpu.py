"""GPUs through the real nvidia-ml-py, on a small NVML of our own, and on machines without any."""

import json
import logging
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

READ = textwrap.dedent(
    """
    import json
    from mmtrace.recording import guard
    from mmtrace.runtime_metrics.gpu import Gpus
    found = [(metric.name, attributes, value) for metric, values in Gpus().read() for attributes, value in values]
    print(json.dumps([found, [(level, message) for level, message, _ in guard._unsaid]]))
    """
)
GPU = {"hw.id": "GPU-0", "hw.name": "gpu0", "hw.model": "NVIDIA H100", "hw.vendor": "NVIDIA"}


def read(before="", **environment):
    out = subprocess.run(
        [sys.executable, "-c", before + READ],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    found, said = json.loads(out.stdout)
    return {(name, attributes["hw.id"]): (attributes, value) for name, attributes, value in found}, said


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The folder of a libnvidia-ml.so.1 with two GPUs."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("a C compiler is missing")
    folder = tmp_path_factory.mktemp("nvml")
    source = Path(__file__).with_name("nvml.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / "libnvidia-ml.so.1", source], check=True)
    return str(folder)


def test_a_gpu_tells_its_load_memory_energy_and_temperature_by_the_standard_names(library):
    found, said = read(LD_LIBRARY_PATH=library)
    assert found["hw.gpu.utilization", "GPU-0"] == ({**GPU, "hw.gpu.task": "general"}, 0.37)
    assert found["hw.gpu.memory.usage", "GPU-0"] == (GPU, 20 << 30)
    assert found["hw.gpu.memory.limit", "GPU-0"] == (GPU, 80 << 30)
    assert found["hw.gpu.memory.utilization", "GPU-0"] == (GPU, 0.25)
    assert found["hw.energy", "GPU-0"] == ({**GPU, "hw.type": "gpu"}, 1234.5)
    assert found["hw.temperature", "GPU-0"] == ({**GPU, "hw.type": "gpu"}, 61)
    assert said == []


def test_what_a_gpu_does_not_tell_is_left_out(library):
    found, _ = read(LD_LIBRARY_PATH=library)
    assert {name for name, gpu in found if gpu == "GPU-1"} == {
        "hw.gpu.memory.usage",
        "hw.gpu.memory.limit",
        "hw.gpu.memory.utilization",
    }


def test_a_forked_child_opens_the_library_anew_unless_it_soon_ends(library):
    program = """
import os
from mmtrace.runtime_metrics import gpu
from mmtrace.runtime_metrics.measuring import runtime_metrics
gpu._LEFT_TO_PARENT = 600
count = lambda: sum(metric.name.startswith("hw.") for metric in runtime_metrics.collect())
assert count() == 6
if os.fork() == 0:
    assert (count(), runtime_metrics._gpus._nvml) == (0, None)
    runtime_metrics._gpus._not_before -= 600
    assert count() == 6
    os._exit(0)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
"""
    read(program, LD_LIBRARY_PATH=library)


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="there is a GPU")
def test_a_machine_without_a_driver_has_no_gpus_and_only_debugging_says_so():
    found, said = read()
    assert found == {}
    ((level, message),) = said
    assert (level, "NVML" in message) == (logging.DEBUG, True)


def test_without_the_package_there_are_no_gpus_and_nothing_is_said():
    found, said = read("import sys; sys.modules['pynvml'] = None\n")
    assert (found, said) == ({}, [])
