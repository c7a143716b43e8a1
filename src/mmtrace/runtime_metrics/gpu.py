"""NVIDIA GPUs through NVML, where the package nvidia-ml-py (the extra `gpu`) and a driver are there."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

from mmtrace import attributes as names
from mmtrace.attributes import Metric
from mmtrace.recording.guard import report

Values: TypeAlias = list[tuple[dict[str, Any], float]]

_TEMPERATURE_GPU: Final = 0
_LEFT_TO_PARENT: Final = 10.0
"""Seconds for which a forked child has no GPUs: to open NVML costs more than all else that a short life reports."""


class Gpus:
    """Reads all GPUs of the host; where NVML cannot be had, there are none."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._tried = False
        self._not_before = 0.0

    def start_over(self) -> None:
        """Open NVML anew, in a forked child: what the parent opened is not for it. One that soon ends does not."""
        self._nvml, self._tried = None, False
        self._not_before = time.monotonic() + _LEFT_TO_PARENT

    def read(self) -> Iterator[tuple[Metric, Values]]:
        """Yield the metrics of all GPUs; what one of them does not support is left out."""
        nvml = self._opened()
        found: dict[Metric, Values] = {}
        for index in range(_count(nvml) if nvml else 0):
            for metric, attributes, value in _of_one(nvml, index):
                found.setdefault(metric, []).append((attributes, value))
        yield from found.items()

    def _opened(self) -> Any:
        if not self._tried and time.monotonic() >= self._not_before:
            self._tried = True
            self._nvml = _open()
        return self._nvml


def _open() -> Any:
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        report("gpu", f"mmtrace: there are no GPU metrics: {error}", level=logging.DEBUG)
        return None
    return pynvml


def _count(nvml: Any) -> int:
    found = _asked(nvml, nvml.nvmlDeviceGetCount)
    return found or 0


def _asked(nvml: Any, ask: Callable[..., Any], *arguments: Any) -> Any:
    """Return what `ask` answers, or None where the GPU or the driver does not support the question."""
    try:
        return ask(*arguments)
    except nvml.NVMLError:
        return None


def _of_one(nvml: Any, index: int) -> Iterator[tuple[Metric, dict[str, Any], float]]:
    device = _asked(nvml, nvml.nvmlDeviceGetHandleByIndex, index)
    if device is None:
        return
    gpu = {
        names.HW_ID: _asked(nvml, nvml.nvmlDeviceGetUUID, device) or str(index),
        names.HW_NAME: f"gpu{index}",
        names.HW_MODEL: _asked(nvml, nvml.nvmlDeviceGetName, device) or "",
        names.HW_VENDOR: "NVIDIA",
    }
    typed = {**gpu, names.HW_TYPE: "gpu"}
    if (rates := _asked(nvml, nvml.nvmlDeviceGetUtilizationRates, device)) is not None:
        yield names.GPU_UTILIZATION, {**gpu, names.HW_GPU_TASK: "general"}, rates.gpu / 100
    if (memory := _asked(nvml, nvml.nvmlDeviceGetMemoryInfo, device)) is not None:
        yield names.GPU_MEMORY_USAGE, gpu, memory.used
        yield names.GPU_MEMORY_LIMIT, gpu, memory.total
        yield names.GPU_MEMORY_UTILIZATION, gpu, memory.used / (memory.total or 1)
    if (energy := _asked(nvml, nvml.nvmlDeviceGetTotalEnergyConsumption, device)) is not None:
        yield names.HW_ENERGY, typed, energy / 1000
    if (celsius := _asked(nvml, nvml.nvmlDeviceGetTemperature, device, _TEMPERATURE_GPU)) is not None:
        yield names.HW_TEMPERATURE, typed, celsius
