"""The numerical libraries that are loaded: linear algebra and its threads, CUDA and cuDNN. Nothing is imported."""

import sys
from collections.abc import Callable
from typing import Any


def describe_libraries() -> dict[str, Any]:  # Any: JSON
    """{"blas": [...], "cuda": {...}} of what is in memory now, those that can be told.

    For a background thread. CUDA is neither initialised nor asked: the versions are those that a framework was built
    with, and of the cuDNN that was loaded.
    """
    parts: dict[str, Callable[[], Any]] = {"blas": _blas, "cuda": _cuda}
    told = {}
    for name, look in parts.items():
        try:
            found = look()
        except Exception:  # noqa: BLE001  # of another version, or half imported
            continue
        if found:
            told[name] = found
    return told


def _blas() -> list[dict[str, Any]]:
    """As threadpoolctl sees it where somebody imported that, else what numpy says it was built with."""
    pools = sys.modules.get("threadpoolctl")
    if pools is not None:
        kept = ("user_api", "internal_api", "version", "num_threads", "threading_layer", "architecture")
        return [{name: pool[name] for name in kept if name in pool} for pool in pools.threadpool_info()]
    config = getattr(getattr(sys.modules.get("numpy"), "__config__", None), "CONFIG", {})
    blas = config.get("Build Dependencies", {}).get("blas", {})
    return [{"user_api": "blas", "internal_api": blas["name"], "version": blas.get("version")}] if blas else []


def _cuda() -> dict[str, Any]:
    told: dict[str, Any] = {}
    torch = sys.modules.get("torch")
    if torch is not None:
        told["torch"] = {
            "cuda": torch.version.cuda,
            "hip": torch.version.hip,
            "cudnn": torch.backends.cudnn.version() if torch.version.cuda else None,
        }
    build = getattr(sys.modules.get("tensorflow.python.platform.build_info"), "build_info", None)
    if build is not None:
        told["tensorflow"] = {name: str(build[name]) for name in build if name.endswith("_version")}
    return {name: versions for name, versions in told.items() if any(versions.values())}
