"""What a GPU is and how busy it is."""

from typing import Any

import pytest

from barograph.system import gpu as room
from barograph.system.gauges import Gauges
from barograph.system.gpu import describe_gpus, gpu_gauges
from barograph.system.nvml import visible_gpus


def gauges_of(nvml: Any, pid: int = 1) -> Gauges:
    gauges = Gauges()
    for gpu in visible_gpus(nvml, {"CUDA_VISIBLE_DEVICES": "1"}):
        gauges.add("gpu", lambda gpu=gpu: gpu_gauges(nvml, gpu, pid))  # type: ignore[misc]  # mypy and defaults of lambdas
    return gauges


def test_every_figure_has_its_unit(nvml: Any) -> None:
    """NVML's milliwatts and millijoules become watts and joules; energy counts from the beginning."""
    gauges = gauges_of(nvml)
    gauges.read()
    nvml.energy_mj += 12_500
    nvml.samples.append(nvml.samples[0].__class__(pid=1, smUtil=70, timeStamp=20))
    assert gauges.read() == {
        "gpu/0/utilization_percent": 90,
        "gpu/0/memory_busy_percent": 35,
        "gpu/0/memory_bytes": 2_000,
        "gpu/0/memory_percent": 25,
        "gpu/0/power_w": 350.5,
        "gpu/0/power_limit_w": 700,
        "gpu/0/energy_j": 12.5,
        "gpu/0/temperature_c": 64,
        "gpu/0/sm_clock_mhz": 1980,
        "gpu/0/memory_clock_mhz": 2619,
        "gpu/0/throttled": 1,
        "gpu/0/throttle_reasons": 4,
        "gpu/0/process_memory_bytes": 300,
        "gpu/0/process_utilization_percent": 70,
    }


@pytest.mark.parametrize(
    ("reasons", "throttled"), [(0x00, 0), (0x01, 0), (0x02, 0), (0x100, 0), (0x04, 1), (0x48, 1), (0x21, 1)]
)
def test_idleness_and_clocks_set_by_hand_are_no_throttling(nvml: Any, reasons: int, throttled: int) -> None:
    """Only power, heat, hardware and waiting for another GPU hold a GPU back."""
    nvml.clock_reasons = reasons
    sample = gauges_of(nvml).read()
    assert (sample["gpu/0/throttled"], sample["gpu/0/throttle_reasons"]) == (throttled, reasons)


def test_an_old_driver_is_asked_by_the_older_name(nvml: Any) -> None:
    """Drivers before 535 know clock event reasons as throttle reasons."""
    nvml.refuse["nvmlDeviceGetCurrentClocksEventReasons"] = nvml.NVML_ERROR_NOT_FOUND
    assert gauges_of(nvml).read()["gpu/0/throttle_reasons"] == 4


def test_a_field_that_is_not_supported_goes_silent_alone(nvml: Any) -> None:
    """Three refusals in a row end the questions for that field; the others are still told."""
    nvml.refuse["nvmlDeviceGetPowerUsage"] = nvml.NVML_ERROR_NOT_SUPPORTED
    gauges = gauges_of(nvml)
    samples = [gauges.read() for _ in range(4)]
    assert list(gauges.silent) == ["gpu/power"]
    assert all("gpu/0/power_w" not in sample and sample["gpu/0/temperature_c"] == 64 for sample in samples)
    nvml.refuse.clear()
    assert "gpu/0/power_w" not in gauges.read()


def test_one_bad_answer_is_forgiven(nvml: Any) -> None:
    """A busy driver fails once; the figure is back at the next sample."""
    gauges = gauges_of(nvml)
    for _ in range(5):
        nvml.refuse["nvmlDeviceGetTemperature"] = nvml.NVML_ERROR_NOT_SUPPORTED
        gauges.read()
        nvml.refuse.clear()
        assert "gpu/0/temperature_c" in gauges.read()
    assert gauges.silent == {}


def test_a_process_that_nvml_does_not_list_has_no_share(nvml: Any) -> None:
    """In a container NVML knows other pids than ours: nothing is told, rather than zero, and nothing goes silent."""
    gauges = gauges_of(nvml, pid=4711)
    samples = [gauges.read() for _ in range(5)]
    assert not any("process" in key for sample in samples for key in sample)
    assert gauges.silent == {}


def test_an_idle_process_is_no_failure(nvml: Any) -> None:
    """NVML answers "not found" when nothing ran since the last question; the next use is told again."""
    gauges = gauges_of(nvml)
    for _ in range(6):
        gauges.read()
    nvml.samples.append(nvml.samples[0].__class__(pid=1, smUtil=55, timeStamp=30))
    assert gauges.read()["gpu/0/process_utilization_percent"] == 55


def test_memory_that_windows_does_not_tell_is_left_out(nvml: Any) -> None:
    """Where NVML lists a process without its memory the figure is absent."""
    nvml.processes[0].usedGpuMemory = None
    assert "gpu/0/process_memory_bytes" not in gauges_of(nvml).read()


def test_the_description_names_gpus_and_driver(nvml: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name, uuid and memory of each GPU, driver and CUDA version; the library is left as it was found."""
    monkeypatch.setattr(room, "start_nvml", lambda: nvml.nvmlInit() or nvml)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert describe_gpus() == {
        "gpus": [{"index": 0, "name": "Test GPU", "uuid": nvml.uuids[1], "memory_bytes": 8_000}],
        "driver": "580.65.06",
        "cuda": "13.1",
    }
    assert nvml.starts == 0


def test_a_driver_that_does_not_start_is_named(nvml: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that does not fit the driver costs the GPUs and nothing else."""

    def start() -> None:
        raise nvml.NVMLError(18)

    monkeypatch.setattr(room, "start_nvml", start)
    assert describe_gpus() == {"gpus_problem": "NVMLError: error 18"}
