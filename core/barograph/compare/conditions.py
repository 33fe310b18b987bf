"""The conditions a run computed under: interpreter, packages, libraries, machine, switches, threads and seeds.

Left out is what is different in every start, such as who the process was and where its interpreter lay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from barograph.reading import RunView

from .change import (
    ASIDE,
    HARDWARE,
    LIBRARIES,
    LOADED,
    SEED,
    SURROUNDING,
    SWITCH,
    THREADS,
    VERSION,
    Facts,
    Neutral,
    Told,
    mapping,
)

# Who a process is among others, or where its interpreter lies: different in every start.
_WHO = re.compile(
    r"(RANK|WORLD_SIZE|LOCAL_\w+|GROUP_RANK|NODE_RANK|MASTER_\w+|TORCHELASTIC_\w+|SLURM_\w+|OMPI_\w+|PMIX?_\w+"
    r"|PBS_\w+|LSB_\w+|RAY_\w+|KUBERNETES_\w+|CONDA_DEFAULT_ENV|VIRTUAL_ENV)"
)
_THREADS = re.compile(r"\w+_(NUM|MAXIMUM)_THREADS")
_MACHINE = ("processor", "architecture", "physical_cores", "usable_cores", "quota_cores", "driver", "cuda")
_SYSTEM = ("system", "release", "kernel")
_PRECISION = ("torch.float32_matmul_precision", "torch.cuda.allow_tf32", "torch.cuda.matmul_precision")
_GIB = 1 << 30
# Import names of distributions that are called otherwise.
_DISTRIBUTIONS = {
    "sklearn": "scikit-learn", "skimage": "scikit-image", "imblearn": "imbalanced-learn", "umap": "umap-learn",
    "PIL": "pillow", "cv2": "opencv-python", "yaml": "pyyaml", "hydra": "hydra-core", "dateutil": "python-dateutil",
    "attr": "attrs", "bs4": "beautifulsoup4", "dotenv": "python-dotenv", "git": "gitpython",
}  # fmt: skip


def conditions_of(view: RunView, neutral: Neutral) -> Facts:
    """All of them. A part that was not captured is unknown, and no difference to any other run."""
    environment = view.environment
    found = surroundings_of(environment, neutral)
    found.take("variables", _variables(environment), neutral, is_known="variables" in environment)
    found.take(LIBRARIES, _libraries(environment), neutral, is_known=LIBRARIES in environment)
    found.take("seeds", _switches(view, environment), neutral, is_known=bool(view.seeds()))
    found.values.pop(("environment", "usable_cores"), None)  # stands with the threads
    found.take("", iter([("environment", "processes", len(view.ranks), HARDWARE + 2)]), neutral)
    return found


def surroundings_of(environment: Mapping[str, Any], neutral: Neutral) -> Facts:
    """Interpreter, packages and machine, which are there before a training begins."""
    found = Facts()
    found.take("python", _interpreter(environment), neutral, is_known="python" in environment)
    found.take("packages", _packages(environment), neutral, is_known="packages" in environment)
    found.take(LOADED, _loaded(environment), neutral)
    found.take("machine", _machine(environment), neutral, is_known="machine" in environment)
    return found


def is_identity(variable: str) -> bool:
    """Whether a variable says who a process is, or where its interpreter lies, and so differs in every start."""
    return _WHO.fullmatch(variable) is not None


def _interpreter(environment: Mapping[str, Any]) -> Told:
    python = mapping(environment, "python")
    yield "environment", "python", python.get("version"), VERSION
    yield "environment", "implementation", python.get("implementation"), VERSION


def _packages(environment: Mapping[str, Any]) -> Told:
    installed, loaded = mapping(environment, "packages"), mapping(environment, "loaded")
    in_use = {_DISTRIBUTIONS.get(name, name).lower().replace("_", "-") for name in loaded}
    for name, version in installed.items():
        own = name == "barograph"
        yield "packages", name, version, ASIDE if own or name not in in_use else VERSION
    for name, origin in mapping(environment, "origins").items():
        if name != "barograph":
            yield "packages", f"{name}, origin", origin, VERSION


def _loaded(environment: Mapping[str, Any]) -> Told:
    """What is in memory and was found on no search path under its name, such as a package beside the script."""
    installed = mapping(environment, "packages")
    for name, version in mapping(environment, "loaded").items():
        if _DISTRIBUTIONS.get(name, name).lower().replace("_", "-") not in installed and installed:
            yield "packages", name, version, VERSION


def _machine(environment: Mapping[str, Any]) -> Told:
    machine = mapping(environment, "machine")
    for name in _MACHINE:
        yield "environment", name, machine.get(name), HARDWARE
    for name in _SYSTEM:
        yield "environment", name, machine.get(name), SURROUNDING
    gpus = [str(gpu.get("name")) for gpu in machine.get("gpus") or [] if isinstance(gpu, dict)]
    yield "environment", "gpus", ", ".join(sorted(gpus)) or None, HARDWARE + 1
    for name in ("memory_bytes", "memory_limit_bytes"):
        if isinstance(size := machine.get(name), int):
            yield "environment", name.replace("_bytes", "_gib"), round(size / _GIB), SURROUNDING
    for name in ("platform", "container", "service"):
        yield "environment", name, environment.get(name), SURROUNDING


def _variables(environment: Mapping[str, Any]) -> Told:
    for name, value in mapping(environment, "variables").items():
        # The seed is told by what was seeded with it.
        if not is_identity(name) and not _THREADS.fullmatch(name) and name != "PL_GLOBAL_SEED":
            yield "environment", name, value, SWITCH


def _libraries(environment: Mapping[str, Any]) -> Told:
    libraries = mapping(environment, "libraries")
    blas = [one for one in libraries.get("blas") or [] if isinstance(one, dict)]
    kept = ("internal_api", "version", "threading_layer", "architecture")  # their threads stand with the others
    yield "environment", "blas", sorted(" ".join(str(one.get(name) or "") for name in kept) for one in blas), HARDWARE
    yield "environment", "cuda libraries", libraries.get("cuda"), HARDWARE


def _switches(view: RunView, environment: Mapping[str, Any]) -> Told:
    """What decides how numbers are computed, as it was seen last."""
    seeded: dict[str, Any] = {}
    switches: dict[str, Any] = {}
    threads: dict[str, Any] = {}
    for seeds in view.seeds():
        seeded, switches, threads = seeded | seeds.seeded, switches | seeds.switches, threads | seeds.threads
    variables = mapping(environment, "variables")
    for names in _same_values({name: value for name, value in seeded.items() if name != "PYTHONHASHSEED"}):
        yield "seeds", ", ".join(names), seeded[names[0]], SEED
    precision = {name: switches.pop(name) for name in _PRECISION if name in switches}
    yield "environment", "torch matmul precision", precision, SWITCH
    for name, value in switches.items():
        if name not in (*variables, "hash_randomization"):  # which PYTHONHASHSEED decides
            yield "environment", name, value, SWITCH
    threads |= {name: value for name, value in variables.items() if _THREADS.fullmatch(name)}
    yield "environment", "threads", threads, THREADS


def _same_values(values: Mapping[str, Any]) -> list[list[str]]:
    """The names that have one value, together: a seed is often given to several generators."""
    found: dict[str, list[str]] = {}
    for name, value in values.items():
        found.setdefault(str(value), []).append(name)
    return list(found.values())
