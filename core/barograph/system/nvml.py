"""NVML, the library of NVIDIA's driver: how it is started, and which GPUs the framework sees under which number.

`nvml` is everywhere the module pynvml, or what a test puts in its place.
"""

import importlib
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

# Without one of these there is no driver to talk to (the second is Windows' Linux), and loading pynvml costs 20 ms.
_DEVICE_FILES = ("/dev/nvidiactl", "/dev/dxg")


class Gpu(NamedTuple):
    """A GPU or MIG instance: the framework's number for it, NVML's handle, and the name it keeps for life."""

    number: int
    handle: Any  # opaque; pynvml has no annotations
    uuid: str


def start_nvml() -> Any | None:  # Any: a module without annotations
    """The library, started; None where there is no NVIDIA driver. Raises NVMLError or ImportError if it does not start.

    Each start needs one `nvmlShutdown()`; NVML counts them.
    """
    if sys.platform == "linux" and not any(map(os.path.exists, _DEVICE_FILES)):
        return None
    with warnings.catch_warnings():
        # The deprecated distribution called pynvml, where that is installed, complains about itself on import.
        warnings.filterwarnings("ignore", ".*pynvml.*", FutureWarning)
        nvml = importlib.import_module("pynvml")
    nvml.nvmlInit()
    return nvml


def visible_gpus(nvml: Any, environment: Mapping[str, str] = os.environ) -> list[Gpu]:
    """The GPUs that CUDA shows to this process, in its order.

    Entries of CUDA_VISIBLE_DEVICES are numbers, UUIDs, their unambiguous beginnings, or MIG UUIDs; as in CUDA the list
    ends at the first that fits nothing. Numbers count in PCI order, which is CUDA's own where the GPUs are alike or
    CUDA_DEVICE_ORDER=PCI_BUS_ID; the uuid in `describe_gpus()` tells for certain.
    """
    physical = list(_physical(nvml))
    wanted = environment.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return [Gpu(number, handle, uuid) for number, (handle, uuid) in enumerate(physical) if uuid]
    found: list[Gpu] = []
    for number, entry in enumerate(wanted.split(",")):
        match = _match(nvml, entry.strip(), physical)
        if match is None or match[1] in {gpu.uuid for gpu in found}:
            break
        found.append(Gpu(number, *match))
    return found


def _physical(nvml: Any) -> Iterator[tuple[Any, str]]:
    """Handles and UUIDs in PCI order; a GPU that does not answer keeps its place with an empty UUID."""
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            yield handle, nvml.nvmlDeviceGetUUID(handle)
        except nvml.NVMLError:
            yield None, ""


def _match(nvml: Any, entry: str, physical: list[tuple[Any, str]]) -> tuple[Any, str] | None:
    if entry.isdecimal():
        chosen = physical[int(entry) : int(entry) + 1]
    elif entry.startswith("GPU-"):
        chosen = [gpu for gpu in physical if gpu[1].lower().startswith(entry.lower())]
    elif entry.startswith("MIG-"):
        chosen = [part for part in _mig_instances(nvml, physical) if part[1].lower().startswith(entry.lower())]
    else:
        chosen = []
    return chosen[0] if len(chosen) == 1 and chosen[0][1] else None


def _mig_instances(nvml: Any, physical: list[tuple[Any, str]]) -> Iterator[tuple[Any, str]]:
    for gpu, _ in physical:
        try:
            count = nvml.nvmlDeviceGetMaxMigDeviceCount(gpu)
        except nvml.NVMLError:
            continue  # it cannot be split
        for index in range(count):
            try:
                part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, index)
                yield part, nvml.nvmlDeviceGetUUID(part)
            except nvml.NVMLError:
                continue  # an empty place
