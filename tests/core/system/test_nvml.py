"""Which GPUs a framework sees, and under which number."""

import importlib
import inspect
import warnings
from types import ModuleType
from typing import Any

import pytest

from barograph.system.nvml import start_nvml, visible_gpus


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (None, [(0, "GPU-1"), (1, "GPU-2")]),
        ("1,0", [(0, "GPU-2"), (1, "GPU-1")]),
        ("1", [(0, "GPU-2")]),
        (" 1 , 0 ", [(0, "GPU-2"), (1, "GPU-1")]),
        ("GPU-22222222-bbbb-0000-0000-000000000000", [(0, "GPU-2")]),
        ("GPU-2222,GPU-1", [(0, "GPU-2"), (1, "GPU-1")]),
        ("GPU-", []),
        ("MIG-33333333-cccc-0000-0000-000000000000", [(0, "MIG-3")]),
        ("MIG-3333", [(0, "MIG-3")]),
        ("", []),
        ("-1", []),
        ("0,-1,1", [(0, "GPU-1")]),
        ("0,7,1", [(0, "GPU-1")]),
        ("1,1", [(0, "GPU-2")]),
        ("NoDevFiles", []),
    ],
)
def test_visible_devices_are_numbered_as_cuda_numbers_them(nvml: Any, wanted: str | None, found: object) -> None:
    """The variable orders, renumbers and hides; an entry that fits nothing ends the list."""
    environment = {} if wanted is None else {"CUDA_VISIBLE_DEVICES": wanted}
    assert [(gpu.number, gpu.uuid[:5]) for gpu in visible_gpus(nvml, environment)] == found


def test_a_gpu_that_does_not_answer_keeps_its_number(nvml: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that fell off the bus does not shift the numbers of those after it."""

    def handle(index: int) -> str:
        if index == 0:
            raise nvml.NVMLError(nvml.NVML_ERROR_GPU_IS_LOST)
        return str(nvml.uuids[index])

    monkeypatch.setattr(nvml, "nvmlDeviceGetHandleByIndex", handle)
    assert [gpu.number for gpu in visible_gpus(nvml, {})] == [1]


def test_only_the_complaint_of_the_deprecated_binding_is_silenced(monkeypatch: pytest.MonkeyPatch, nvml: Any) -> None:
    """The distribution named pynvml warns on import; anything else that warns is still heard."""

    def load(name: str) -> ModuleType:
        warnings.warn("The pynvml package is deprecated.", FutureWarning, stacklevel=1)
        warnings.warn("something else", FutureWarning, stacklevel=1)
        return nvml  # type: ignore[no-any-return]  # the stand-in for a module

    monkeypatch.setattr("os.path.exists", lambda path: True)
    monkeypatch.setattr(importlib, "import_module", load)
    with pytest.warns(FutureWarning, match="something else") as heard:
        assert start_nvml() is nvml
    assert len(heard) == 1
    assert vars(nvml)["starts"] == 1


def test_the_stand_in_is_like_the_binding(nvml: Any) -> None:
    """Every call and constant that these tests stand on exists in the real module, and calls take as many arguments."""
    pynvml = importlib.import_module("pynvml")
    for name in dir(type(nvml)):
        if name.startswith("NVML"):
            assert name == "NVMLError" or getattr(pynvml, name) == getattr(nvml, name)
        if name.startswith("nvml"):
            required = [
                parameter
                for parameter in inspect.signature(getattr(pynvml, name)).parameters.values()
                if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
            ]
            assert len(required) in (0, len(inspect.signature(getattr(nvml, name)).parameters)), name


def test_the_binding_is_not_loaded_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Linux without the driver's device file nothing is imported and nothing fails."""
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("os.path.exists", lambda path: False)
    monkeypatch.setattr(importlib, "import_module", lambda name: pytest.fail(f"{name} was imported"))
    assert start_nvml() is None
