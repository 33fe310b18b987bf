"""What is compared of the settings and surroundings of a run, without what is different in every run.

Left out are times, durations, process and host names, ids, and where the run and its code lie.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from barograph.reading import RunView

from .change import (
    ARGUMENT,
    ASIDE,
    HARDWARE,
    INPUT,
    PARAMETER,
    SEED,
    SURROUNDING,
    SWITCH,
    THREADS,
    VERSION,
    Facts,
    Neutral,
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
_DISTRIBUTIONS = {"sklearn": "scikit-learn", "PIL": "pillow", "cv2": "opencv-python", "yaml": "pyyaml"}
_NUMBER = re.compile(r"-\.?\d")


def facts_of(view: RunView) -> Facts:
    """Everything about a run that is a plain value."""
    neutral, environment = Neutral(view), view.environment
    params = (("parameters", name, value, PARAMETER) for name, value in view.params.items())
    told = chain(params, _inputs(view), _called(environment), _libraries(environment), _switches(view, environment))
    found = surroundings_of(environment, neutral) | _facts(told, neutral)
    found.pop(("environment", "usable_cores"), None)  # stands with the threads
    return found


def surroundings_of(environment: Mapping[str, Any], neutral: Neutral) -> Facts:
    """Interpreter, packages and machine."""
    return _facts(chain(_interpreter(environment), _packages(environment), _machine(environment)), neutral)


def _facts(told: Iterable[tuple[str, str, Any, int]], neutral: Neutral) -> Facts:
    return {
        (section, name): neutral.fact(value, importance)
        for section, name, value, importance in told
        if value not in (None, {}, [])
    }


_Told = Iterator[tuple[str, str, Any, int]]  # section, name, value (Any: JSON), importance


def arguments_by_name(arguments: list[str]) -> dict[str, Any]:
    """A command line as names and values: --lr 0.1, --lr=0.1 and lr=0.1 by their name, what has none by its place."""
    found: dict[str, list[Any]] = {}
    place, waiting = 0, None
    for argument in arguments:
        is_option = argument.startswith("-") and len(argument) > 1 and not _NUMBER.match(argument)
        name, sign, value = argument.partition("=")
        if is_option:
            found.setdefault(name, []).append(value if sign else True)
            waiting = None if sign else name
        elif waiting is not None:
            found[waiting][-1] = argument
            waiting = None
        elif sign and re.fullmatch(r"[+~]*[\w./@-]+", name):
            found.setdefault(name, []).append(value)
        else:
            place += 1
            found.setdefault(f"argument {place}", []).append(argument)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def is_identity(variable: str) -> bool:
    """Whether a variable says who a process is, or where its interpreter lies, and so differs in every start."""
    return _WHO.fullmatch(variable) is not None


def _inputs(view: RunView) -> _Told:
    for name, digests in inputs_of(view).items():
        yield "inputs", name, digests[0] if len(digests) == 1 else digests, INPUT


def inputs_of(view: RunView) -> dict[str, list[str]]:
    """The artifacts that a run used, by name: the digests of their contents, each once."""
    found: dict[str, set[str]] = {}
    for artifact in view.artifacts():
        if artifact.role == "input":
            content = artifact.digest or f"{artifact.size_bytes} bytes, not read"
            found.setdefault(artifact.name, set()).add(content)
    return {name: sorted(contents) for name, contents in found.items()}


def _called(environment: Mapping[str, Any]) -> _Told:
    entry = _mapping(environment, "entry")
    what = entry.get("module") or _within(environment, entry.get("path"))
    yield "arguments", "entry", f"{entry.get('kind')} {what or ''}".strip() if entry else None, ARGUMENT + 1
    yield "arguments", "working folder", _within(environment, environment.get("folder")) or None, SURROUNDING
    command = environment.get("command")
    given = len(environment.get("arguments") or [""]) - 1
    if isinstance(command, list):
        head = command[1 : len(command) - given]
        kind = _mapping(environment, "entry").get("kind")
        yield "environment", "interpreter options", head[: -2 if kind in ("module", "command") else -1], SWITCH
    arguments = environment.get("arguments")
    for name, value in arguments_by_name([str(one) for one in arguments[1:]] if arguments else []).items():
        yield "arguments", name, value, ARGUMENT


def _within(environment: Mapping[str, Any], path: Any) -> str | None:
    """A path as it lies in the code: two copies of a repository are the same place."""
    for part in ("git", "sources"):
        root = _mapping(environment, part).get("root")
        if isinstance(path, str) and isinstance(root, str) and (path == root or path.startswith(f"{root}/")):
            return path[len(root) + 1 :] or "."
    return path.rpartition("/")[2] if isinstance(path, str) else None


def _interpreter(environment: Mapping[str, Any]) -> _Told:
    python = _mapping(environment, "python")
    yield "environment", "python", python.get("version"), VERSION
    yield "environment", "implementation", python.get("implementation"), VERSION


def _packages(environment: Mapping[str, Any]) -> _Told:
    installed, loaded = _mapping(environment, "packages"), _mapping(environment, "loaded")
    in_use = {_DISTRIBUTIONS.get(name, name).lower().replace("_", "-") for name in loaded}
    for name, version in installed.items():
        own = name == "barograph"
        yield "packages", name, version, ASIDE if own or name not in in_use else VERSION
    for name, version in loaded.items():
        # What is in memory and was found on no search path, such as a package beside the script.
        if _DISTRIBUTIONS.get(name, name).lower().replace("_", "-") not in installed and installed:
            yield "packages", name, version, VERSION

    for name, origin in _mapping(environment, "origins").items():
        if name != "barograph":
            yield "packages", f"{name}, origin", origin, VERSION


def _machine(environment: Mapping[str, Any]) -> _Told:
    machine = _mapping(environment, "machine")
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


def _libraries(environment: Mapping[str, Any]) -> _Told:
    libraries = _mapping(environment, "libraries")
    blas = [one for one in libraries.get("blas") or [] if isinstance(one, dict)]
    kept = ("internal_api", "version", "threading_layer", "architecture")  # their threads stand with the others
    yield "environment", "blas", sorted(" ".join(str(one.get(name) or "") for name in kept) for one in blas), HARDWARE
    yield "environment", "cuda libraries", libraries.get("cuda"), HARDWARE
    for name, value in _mapping(environment, "variables").items():
        # The seed is told by what was seeded with it.
        if not is_identity(name) and not _THREADS.fullmatch(name) and name != "PL_GLOBAL_SEED":
            yield "environment", name, value, SWITCH


def _switches(view: RunView, environment: Mapping[str, Any]) -> _Told:
    """What decides how numbers are computed, as it was seen last."""
    seeded: dict[str, Any] = {}
    switches: dict[str, Any] = {}
    threads: dict[str, Any] = {}
    for seeds in view.seeds():
        seeded, switches, threads = seeded | seeds.seeded, switches | seeds.switches, threads | seeds.threads
    variables = _mapping(environment, "variables")
    for names in _same_values({name: value for name, value in seeded.items() if name != "PYTHONHASHSEED"}):
        yield "seeds", ", ".join(names), seeded[names[0]], SEED
    precision = {name: switches.pop(name) for name in _PRECISION if name in switches}
    yield "environment", "torch matmul precision", precision, SWITCH
    for name, value in switches.items():
        if name not in (*variables, "hash_randomization"):  # which PYTHONHASHSEED decides
            yield "environment", name, value, SWITCH
    threads |= {name: value for name, value in variables.items() if _THREADS.fullmatch(name)}
    yield "environment", "threads", threads, THREADS
    yield "environment", "processes", len(view.ranks), HARDWARE + 2


def _same_values(values: Mapping[str, Any]) -> list[list[str]]:
    """The names that have one value, together: a seed is often given to several generators."""
    found: dict[str, list[str]] = {}
    for name, value in values.items():
        found.setdefault(str(value), []).append(name)
    return list(found.values())


def _mapping(mapping: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = mapping.get(name)
    return value if isinstance(value, Mapping) else {}
