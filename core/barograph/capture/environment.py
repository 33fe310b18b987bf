"""What surrounded a training, as JSON: interpreter, arguments, launcher, packages, machine."""

import os
import sys
from pathlib import Path
from typing import Any

from barograph.capture.packages import installed_packages, loaded_packages, package_origins

THREAD_VARIABLES = tuple(
    "OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_NUM_THREADS NUMEXPR_NUM_THREADS VECLIB_MAXIMUM_THREADS".split()
)
DETERMINISM_VARIABLES = tuple(
    "PYTHONHASHSEED CUBLAS_WORKSPACE_CONFIG TF_DETERMINISTIC_OPS TF_CUDNN_DETERMINISTIC NVIDIA_TF32_OVERRIDE "
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE TF_ENABLE_ONEDNN_OPTS XLA_FLAGS".split()
)
# The only variables that are ever kept: who this process is among others, which devices it sees, and what changes how
# numbers are computed. All others are none of a recorder's business, and many hold secrets.
VARIABLES = (
    THREAD_VARIABLES
    + DETERMINISM_VARIABLES
    + tuple(
        "RANK WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE GROUP_RANK NODE_RANK MASTER_ADDR MASTER_PORT "
        "TORCHELASTIC_RUN_ID TORCHELASTIC_RESTART_COUNT TORCHELASTIC_MAX_RESTARTS "
        "SLURM_JOB_ID SLURM_JOB_NAME SLURM_STEP_ID SLURM_PROCID SLURM_LOCALID SLURM_NTASKS SLURM_NNODES SLURM_NODELIST "
        "SLURM_NODEID SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_ID SLURM_RESTART_COUNT SLURM_JOB_PARTITION "
        "SLURM_CPUS_PER_TASK OMPI_COMM_WORLD_RANK OMPI_COMM_WORLD_SIZE PMI_RANK PMI_SIZE PMIX_RANK PBS_JOBID LSB_JOBID "
        "RAY_JOB_ID KUBERNETES_SERVICE_HOST "
        "CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER CUDA_LAUNCH_BLOCKING NVIDIA_VISIBLE_DEVICES "
        "HIP_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES TPU_NAME "
        "PYTHONOPTIMIZE PL_GLOBAL_SEED KERAS_BACKEND JAX_PLATFORMS JAX_ENABLE_X64 "
        "PYTORCH_CUDA_ALLOC_CONF PYTORCH_ALLOC_CONF NCCL_ALGO NCCL_PROTO CONDA_DEFAULT_ENV VIRTUAL_ENV".split()
    )
)
_MOST_ARGUMENTS = 1_000  # more are file names that a shell has listed
_CONTAINERS = (("docker", "/.dockerenv"), ("podman", "/run/.containerenv"), ("singularity", "/.singularity.d"))
_SERVICES = (
    ("colab", "COLAB_RELEASE_TAG"),
    ("kaggle", "KAGGLE_KERNEL_RUN_TYPE"),
    ("sagemaker", "SM_TRAINING_ENV"),
    ("databricks", "DATABRICKS_RUNTIME_VERSION"),
    ("kubernetes", "KUBERNETES_SERVICE_HOST"),
)


def capture_environment_fast() -> dict[str, Any]:  # Any: JSON
    """What can be told at once, in about 1 ms and without starting a process; secrets are taken out.

    The entries of `capture_environment_slow()` are still to be added, or put in place of these.
    """
    from barograph.capture.redaction import redact_text  # a slow import, as all that stand in functions here

    return {
        "python": {
            "version": sys.version.split()[0],
            "build": sys.version,
            "implementation": sys.implementation.name,
            "executable": sys.executable,
            "prefix": sys.prefix,
        },
        "platform": sys.platform,
        "entry": describe_entry(),
        "arguments": _command_line(getattr(sys, "argv", [])),  # an embedded interpreter has none
        "command": _command_line(sys.orig_argv),
        "parsed": _parsed_arguments(),
        "folder": str(working_folder()),
        "variables": {name: redact_text(os.environ[name]) for name in VARIABLES if name in os.environ},
        "container": next((name for name, path in _CONTAINERS if os.path.exists(path)), None),
        "service": next((name for name, variable in _SERVICES if variable in os.environ), None),
        "loaded": loaded_packages(),
    }


def capture_environment_slow() -> dict[str, Any]:  # Any: JSON
    """What takes its time: installed packages and where they are from, numerical libraries, the machine and its GPUs.

    For a background thread: some ms of Python, the rest is waiting.
    """
    from barograph.capture.libraries import describe_libraries
    from barograph.system.machine import describe_machine

    return {
        "packages": installed_packages(),
        "origins": package_origins(),
        "loaded": loaded_packages(),
        "libraries": describe_libraries(),
        "machine": describe_machine(),
    }


def describe_entry() -> dict[str, str | None]:
    """What was started: "kind" (script, module, notebook, command, stdin, interactive, frozen), "path", "module"."""
    main = sys.modules.get("__main__")
    path, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    module = None
    if getattr(sys, "frozen", False):
        kind, path = "frozen", sys.executable
    elif "ipykernel" in sys.modules:
        # Jupyter's server names the notebook in the first, Visual Studio Code in the second.
        kind, path = "notebook", os.environ.get("JPY_SESSION_NAME") or getattr(main, "__vsc_ipynb_file__", None)
    elif spec is not None:
        kind, module = "module", spec.name.removesuffix(".__main__")
    elif path is not None and path.startswith("<"):  # python < train.py: nobody can read that again
        kind, path = "stdin", None
    elif path is not None:
        kind = "script"
    else:
        kind = "command" if getattr(sys, "argv", [])[:1] == ["-c"] else "interactive"
    if path is not None and os.pardir in Path(path).parts:  # python ../train.py
        path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    return {"kind": kind, "path": path, "module": module}


def _parsed_arguments() -> dict[str, Any] | None:  # Any: JSON
    """The arguments as the script has them after parsing: a Namespace of argparse or absl's flags.

    Only what the script keeps under a name of its own module can be seen; what lives in a function is in `arguments` as
    given, and in the run's configuration if the script passes it on.
    """
    namespace = getattr(sys.modules.get("argparse"), "Namespace", None)
    if namespace is not None:
        for value in list(vars(sys.modules.get("__main__", sys)).values()):
            if isinstance(value, namespace):
                return _plain_arguments(vars(value))
    flags = getattr(sys.modules.get("absl.flags"), "FLAGS", None)
    if flags is not None and flags.is_parsed():
        main = sys.argv[0] if sys.argv else ""
        own = {flag.name: flag.value for flag in flags.get_key_flags_for_module(main)}
        return _plain_arguments(own)
    return None


def _plain_arguments(values: dict[str, Any]) -> dict[str, Any]:
    from barograph.capture.plain import to_plain
    from barograph.capture.redaction import redact, redact_argv

    plain = redact(to_plain(values).value)
    if not isinstance(plain, dict):
        return {}
    # As on a command line, where --token gives a token even if it is short.
    return {
        name: redact_argv([f"--{name}", value])[1] if isinstance(value, str) else value for name, value in plain.items()
    }


def working_folder() -> Path:
    try:
        return Path.cwd()
    except OSError:  # it was deleted, or may not be read any more
        return Path(os.environ.get("PWD", "/"))


def _command_line(arguments: list[str]) -> list[str]:
    from barograph.capture.plain import Limits, to_plain
    from barograph.capture.redaction import redact_argv

    kept = to_plain(list(map(str, arguments)), Limits(leaves=_MOST_ARGUMENTS, text=256 * 1024))
    return redact_argv(kept.value)
