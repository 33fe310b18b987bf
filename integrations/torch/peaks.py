"""How many floating point operations a second a device can do at most, by its data sheet."""

from __future__ import annotations

import re

import torch

# In 1e12 a second: double, single, TF32, half and bfloat16 precision; None where the device has no such units. Dense
# figures, which are half of those that data sheets mark "with sparsity"; those of tensor cores where it has them, and
# adding up in single precision, as torch does.
_HOPPER = (67.0, 67.0, 494.7, 989.4, 989.4)
_HOPPER_NVL = (60.0, 60.0, 417.5, 835.5, 835.5)
_AMPERE = (19.5, 19.5, 156.0, 312.0, 312.0)
_PEAKS: dict[str, tuple[float | None, ...]] = {
    # NVIDIA Blackwell data sheet, the B200 of an HGX
    "B200": (37.0, 75.0, 1100.0, 2250.0, 2250.0),
    # NVIDIA H200, H100 and GH200 data sheets
    "H200": _HOPPER,
    "H200 NVL": _HOPPER_NVL,
    "GH200": _HOPPER,
    "H100 HBM3": _HOPPER,  # the SXM module
    "H100 NVL": _HOPPER_NVL,
    "H100 PCIE": (51.0, 51.0, 378.0, 756.0, 756.0),
    # NVIDIA A100, A30, A40 and A10 data sheets
    "A100 SXM4": _AMPERE,
    "A100 PCIE": _AMPERE,
    "A30": (10.3, 10.3, 82.0, 165.0, 165.0),
    "A40": (None, 37.4, 74.8, 149.7, 149.7),
    "A10": (None, 31.2, 62.5, 125.0, 125.0),
    # NVIDIA L4, L40 and L40S data sheets
    "L4": (None, 30.3, 60.0, 121.0, 121.0),
    "L40": (None, 90.5, 90.5, 181.0, 181.0),
    "L40S": (None, 91.6, 183.0, 362.0, 362.0),
    # NVIDIA V100 and T4 data sheets
    "V100 SXM2": (7.8, 15.7, None, 125.0, None),
    "V100 PCIE": (7.0, 14.0, None, 112.0, None),
    "T4": (None, 8.1, None, 65.0, None),
    # NVIDIA Ada and GA102 GPU architecture white papers
    "RTX 4090": (None, 82.6, 82.6, 165.2, 165.2),
    "RTX 3090": (None, 35.6, 35.6, 71.0, 71.0),
    "RTX A6000": (None, 38.7, 77.4, 154.8, 154.8),
}
_COLUMNS = ("64", "32", "tf32", "16", "bf16")


def peak_of(device_name: str, precision: str) -> float | None:
    """The most operations a second of a device, as CUDA calls it; None if it is not known, as of a part of one (MIG).

    precision: "64", "32", "tf32", "16" or "bf16".
    """
    words = re.split(r"[ -]+", device_name.upper())
    maker = ("NVIDIA", "TESLA", "GEFORCE")
    name = " ".join(word for word in words if word not in maker and not re.fullmatch(r"\d+GB", word))
    if name not in _PEAKS or precision not in _COLUMNS:
        return None
    peak = _PEAKS[name][_COLUMNS.index(precision)]
    return None if peak is None else peak * 1e12


def single_precision() -> str:
    """What matrices of single precision are multiplied in: "tf32" where torch is allowed to, else "32"."""
    asked = getattr(torch.backends.cuda.matmul, "fp32_precision", "none")  # since 2.9
    if asked == "none":
        return "32" if torch.get_float32_matmul_precision() == "highest" else "tf32"
    return "tf32" if asked == "tf32" else "32"
