"""A stand-in for the module pynvml, thin enough to be compared with it at a glance."""

from types import SimpleNamespace
from typing import Any

import pytest


class FakeNvml:
    """Two GPUs that answer; `refuse[call]` makes one call fail, as NVML does for a field it does not support."""

    NVML_SUCCESS, NVML_ERROR_NOT_SUPPORTED, NVML_ERROR_NOT_FOUND, NVML_ERROR_GPU_IS_LOST = 0, 3, 6, 15
    NVML_TEMPERATURE_GPU, NVML_CLOCK_SM, NVML_CLOCK_MEM = 0, 1, 2

    class NVMLError(Exception):
        def __init__(self, value: int) -> None:
            super().__init__(f"error {value}")
            self.value = value

    def __init__(self) -> None:
        self.uuids = ["GPU-11111111-aaaa-0000-0000-000000000000", "GPU-22222222-bbbb-0000-0000-000000000000"]
        self.mig_uuids = ["MIG-33333333-cccc-0000-0000-000000000000"]
        self.refuse: dict[str, int] = {}
        self.energy_mj = 5_000_000
        self.clock_reasons = 0x04
        self.processes = [SimpleNamespace(pid=1, usedGpuMemory=300), SimpleNamespace(pid=2, usedGpuMemory=500)]
        self.samples = [SimpleNamespace(pid=1, smUtil=busy, timeStamp=at_us) for at_us, busy in ((10, 20), (11, 40))]
        self.starts = 0

    def __getattribute__(self, name: str) -> Any:
        if name in object.__getattribute__(self, "__dict__").get("refuse", {}):
            raise self.NVMLError(self.refuse[name])
        return object.__getattribute__(self, name)

    def nvmlInit(self) -> None:
        self.starts += 1

    def nvmlShutdown(self) -> None:
        self.starts -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.uuids)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return self.uuids[index]

    def nvmlDeviceGetUUID(self, handle: str) -> str:
        return handle

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: str) -> int:
        return 2 if handle == self.uuids[1] else 0

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: str, index: int) -> str:
        if index >= len(self.mig_uuids):
            raise self.NVMLError(self.NVML_ERROR_NOT_FOUND)
        return self.mig_uuids[index]

    def nvmlDeviceGetName(self, handle: str) -> str:
        return "Test GPU"

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.65.06"

    def nvmlSystemGetCudaDriverVersion(self) -> int:
        return 13010

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> SimpleNamespace:
        return SimpleNamespace(gpu=90, memory=35)

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> SimpleNamespace:
        return SimpleNamespace(used=2_000, total=8_000)

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:
        return 350_500

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: str) -> int:
        return 700_000

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        return self.energy_mj

    def nvmlDeviceGetTemperature(self, handle: str, sensor: int) -> int:
        return 64

    def nvmlDeviceGetClockInfo(self, handle: str, clock: int) -> int:
        return {self.NVML_CLOCK_SM: 1980, self.NVML_CLOCK_MEM: 2619}[clock]

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: str) -> int:
        return self.clock_reasons

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: str) -> int:
        return self.clock_reasons

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[SimpleNamespace]:
        return self.processes

    def nvmlDeviceGetProcessUtilization(self, handle: str, since_us: int) -> list[SimpleNamespace]:
        newer = [sample for sample in self.samples if sample.timeStamp > since_us]
        if not newer:
            raise self.NVMLError(self.NVML_ERROR_NOT_FOUND)
        return newer


@pytest.fixture
def nvml() -> FakeNvml:
    """Two GPUs; the second can be split and has one instance."""
    return FakeNvml()
