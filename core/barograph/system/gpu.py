"""What a GPU is and how busy it is; each figure is asked for on its own, because NVML may refuse any one of them.

`nvml` is everywhere the module pynvml, or what a test puts in its place.
"""

from collections.abc import Mapping
from typing import Any

from barograph.system.gauges import Read
from barograph.system.nvml import Gpu, start_nvml, visible_gpus

# The reasons (NVML reference, nvmlClocksEventReasons) for which a GPU runs slower than it was asked to: power cap,
# hardware slowdown, waiting for another GPU, heat by software and by hardware, power brake. The others are idleness and
# clocks that somebody set.
_THROTTLES = 0x04 | 0x08 | 0x10 | 0x20 | 0x40 | 0x80


def describe_gpus() -> dict[str, object]:
    """The GPUs that this process sees, and the driver: {"gpus": [...], "driver", "cuda"}; empty without any.

    Starting NVML takes up to a second where the driver keeps no GPU awake. {"gpus_problem"} where it does not start.
    """
    try:
        nvml = start_nvml()
        if nvml is None:
            return {}
        try:
            return _described(nvml)
        finally:
            nvml.nvmlShutdown()
    except Exception as error:  # noqa: BLE001  # a broken driver must not cost the rest of the description
        return {"gpus_problem": f"{type(error).__name__}: {error}"}


def gpu_gauges(nvml: Any, gpu: Gpu, pid: int) -> Mapping[str, Read]:
    """Readings of one GPU. pid: the process whose share is told, where NVML sees processes (not in most containers)."""
    handle, prefix = gpu.handle, f"gpu/{gpu.number}"
    energy_at_start_j: float | None = None
    newest_us = 0

    def utilization() -> Mapping[str, float]:
        busy = nvml.nvmlDeviceGetUtilizationRates(handle)
        return {f"{prefix}/utilization_percent": busy.gpu, f"{prefix}/memory_busy_percent": busy.memory}

    def memory() -> Mapping[str, float]:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        return {f"{prefix}/memory_bytes": memory.used, f"{prefix}/memory_percent": 100 * memory.used / memory.total}

    def energy() -> Mapping[str, float]:
        nonlocal energy_at_start_j
        counted_j = nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000
        energy_at_start_j = counted_j if energy_at_start_j is None else energy_at_start_j
        return {f"{prefix}/energy_j": counted_j - energy_at_start_j}

    def throttle() -> Mapping[str, float]:
        reasons = _clock_reasons(nvml, handle)
        return {f"{prefix}/throttled": bool(reasons & _THROTTLES), f"{prefix}/throttle_reasons": reasons}

    def process_memory() -> Mapping[str, float]:
        processes = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        used = [process.usedGpuMemory for process in processes if process.pid == pid]
        return {f"{prefix}/process_memory_bytes": sum(used)} if used and None not in used else {}

    def process_utilization() -> Mapping[str, float]:
        nonlocal newest_us
        try:
            samples = nvml.nvmlDeviceGetProcessUtilization(handle, newest_us)
        except nvml.NVMLError as error:
            if error.value in (nvml.NVML_SUCCESS, nvml.NVML_ERROR_NOT_FOUND):  # nothing ran since the last time
                return {}
            raise
        first, newest_us = not newest_us, max((sample.timeStamp for sample in samples), default=newest_us)
        own = [sample.smUtil for sample in samples if sample.pid == pid]
        # The first answer reaches back to before we began.
        return {f"{prefix}/process_utilization_percent": sum(own) / len(own)} if own and not first else {}

    def figure(name: str, call: str, *arguments: object, scale: float = 1.0) -> Read:
        return lambda: {f"{prefix}/{name}": getattr(nvml, call)(handle, *arguments) * scale}

    return {
        "utilization": utilization,
        "memory": memory,
        "power": figure("power_w", "nvmlDeviceGetPowerUsage", scale=1e-3),
        "power_limit": figure("power_limit_w", "nvmlDeviceGetEnforcedPowerLimit", scale=1e-3),
        "energy": energy,
        "temperature": figure("temperature_c", "nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
        "sm_clock": figure("sm_clock_mhz", "nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM),
        "memory_clock": figure("memory_clock_mhz", "nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_MEM),
        "throttle": throttle,
        "process_memory": process_memory,
        "process_utilization": process_utilization,
    }


def _clock_reasons(nvml: Any, handle: Any) -> int:
    try:
        return int(nvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
    except (AttributeError, nvml.NVMLError):  # bindings and drivers before 535 know it by its older name only
        return int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))


def _described(nvml: Any) -> dict[str, object]:
    cuda = nvml.nvmlSystemGetCudaDriverVersion()
    return {
        "gpus": [
            {
                "index": gpu.number,
                "name": nvml.nvmlDeviceGetName(gpu.handle),
                "uuid": gpu.uuid,
                "memory_bytes": nvml.nvmlDeviceGetMemoryInfo(gpu.handle).total,
            }
            for gpu in visible_gpus(nvml)
        ],
        "driver": nvml.nvmlSystemGetDriverVersion(),
        "cuda": f"{cuda // 1000}.{cuda % 1000 // 10}",
    }
