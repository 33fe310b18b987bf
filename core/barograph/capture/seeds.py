"""The random generators at one moment, as digests of their states; and the switches that decide about determinism.

Two moments with one digest will draw the same numbers. Nothing is imported, seeded, drawn or waited for, and no CUDA is
initialised. What a DataLoader's workers draw from follows from the generator of the loader, else torch's, when its
iteration begins: each iteration takes one number of it as the base seed, and worker n gets that plus n.
"""

import functools
import os
import sys
import warnings
from array import array
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import xxhash

from barograph.capture.environment import DETERMINISM_VARIABLES, THREAD_VARIABLES
from barograph.capture.redaction import redact_text

# Generators that a script holds under a name of its own, by their types.
_GENERATORS = frozenset(
    ("random.Random", "numpy.random._generator.Generator", "numpy.random.mtrand.RandomState", "torch._C.Generator",
     "keras.src.random.seed_generator.SeedGenerator")
)  # fmt: skip
# torch seeds its generators with 64 random bits where nobody else does; a person's seed is a small number.
_SMALL_SEED = 2**32

_Facts = Iterator[tuple[str, Callable[[], Any]]]  # a name, and how to find out; Any: JSON, or a generator's state


def take_seeds(generators: Mapping[str, object]) -> dict[str, Any]:  # Any: JSON
    """{"states", "unused", "seeded", "switches", "threads"}: digests of states by generator, seeds set, and settings.

    generators: further ones by name, such as numpy's Generator, torch's, a key of jax, keras's SeedGenerator. Those for
    which a script or notebook itself has a name are found by it: __main__.rng. Takes about 0.3 ms. What cannot be told,
    and what is not in use, is left out; under "seeded" there is only what is known to have been set: of Python's and
    numpy's global generators no one can tell. Of these two, "unused" names those that have given no number since the
    system seeded them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old names of switches
        return {
            "states": {name: digest_of(state) for name, state in _found(_global_states())}
            | _digests({**_of_the_script(), **generators}),
            "unused": [name for name, is_unused in _found(_unused()) if is_unused],
            "seeded": dict(_found(_seeds())),
            "switches": dict(_found(_switches())),
            "threads": dict(_found(_threads())),
        }


def digest_of(state: object) -> str:
    """The digest of a generator's state: 32 hex digits, the same in every process."""
    digest = xxhash.xxh3_128()
    for part in _parts(state):
        digest.update(part)
    return str(digest.hexdigest())


def _found(facts: _Facts) -> Iterator[tuple[str, Any]]:
    for name, find_out in facts:
        try:
            value = find_out()
        except Exception:  # noqa: BLE001  # of another version, or half imported: this one is left out
            continue
        if value is not None:
            yield name, value


def _digests(generators: Mapping[str, object]) -> dict[str, str]:
    states = ((str(name), lambda generator=generator: _state_of(generator)) for name, generator in generators.items())
    return {name: digest_of(state) for name, state in _found(states)}


def _of_the_script() -> dict[str, object]:
    names = list(getattr(sys.modules.get("__main__"), "__dict__", {}).items())
    found = {
        name: value for name, value in names if f"{type(value).__module__}.{type(value).__qualname__}" in _GENERATORS
    }
    return {f"__main__.{name}": value for name, value in found.items()}


def _global_states() -> _Facts:
    if "random" in sys.modules:
        yield "random", sys.modules["random"].getstate
    if "numpy.random" in sys.modules:
        yield "numpy", lambda: sys.modules["numpy.random"].get_state(legacy=False)
    torch = sys.modules.get("torch")
    if torch is not None:
        yield "torch", torch.get_rng_state
        if torch.cuda.is_initialized():
            # Lies in host memory, unlike what it will draw: nothing is waited for.
            for index, generator in enumerate(torch.cuda.default_generators):
                yield f"torch.cuda:{index}", generator.get_state
    context = getattr(sys.modules.get("tensorflow.python.eager.context"), "_context", None)
    if context is not None and getattr(context, "_rng", None) is not None:
        yield "tensorflow", lambda: (context._seed, context._rng.getstate())
    generator = getattr(sys.modules.get("tensorflow.python.ops.stateful_random_ops"), "global_generator", None)
    if generator is not None:
        yield "tensorflow.generator", lambda: _state_of(generator)
    seed_generator = _keras_attribute("global_seed_generator")
    if seed_generator is not None:
        yield "keras", lambda: _state_of(seed_generator)


def _unused() -> _Facts:
    if "random" in sys.modules:
        yield "random", lambda: _is_fresh(sys.modules["random"].getstate()[1][0])
    if "numpy.random" in sys.modules:
        yield "numpy", lambda: _is_fresh(int(sys.modules["numpy.random"].get_state(legacy=False)["state"]["key"][0]))


def _is_fresh(first_word: int) -> bool:
    """A Mersenne Twister that is seeded by an array begins with this word until it is stirred for the first number."""
    return first_word == 0x80000000


def _seeds() -> _Facts:
    for name in ("PL_GLOBAL_SEED", "PYTHONHASHSEED"):
        yield name, functools.partial(_variable, name)
    torch = sys.modules.get("torch")
    if torch is not None:
        yield "torch", lambda: torch.initial_seed() if torch.initial_seed() < _SMALL_SEED else None
    context = getattr(sys.modules.get("tensorflow.python.eager.context"), "_context", None)
    yield "tensorflow", lambda: getattr(context, "_seed", None)
    yield "keras", lambda: _keras_attribute("global_random_seed")


def _switches() -> _Facts:
    for name in DETERMINISM_VARIABLES:
        yield name, functools.partial(_variable, name)
    yield "hash_randomization", lambda: bool(sys.flags.hash_randomization)
    torch = sys.modules.get("torch")
    if torch is not None:
        yield "torch.deterministic_algorithms", torch.are_deterministic_algorithms_enabled
        yield "torch.deterministic_warn_only", torch.is_deterministic_algorithms_warn_only_enabled
        yield "torch.float32_matmul_precision", torch.get_float32_matmul_precision
        yield "torch.cudnn.deterministic", lambda: torch.backends.cudnn.deterministic
        yield "torch.cudnn.benchmark", lambda: torch.backends.cudnn.benchmark
        yield "torch.cudnn.enabled", lambda: torch.backends.cudnn.enabled
        yield "torch.cudnn.allow_tf32", lambda: torch.backends.cudnn.allow_tf32
        yield "torch.cuda.allow_tf32", lambda: torch.backends.cuda.matmul.allow_tf32
        yield "torch.cuda.matmul_precision", lambda: torch.backends.cuda.matmul.fp32_precision
    config = sys.modules.get("tensorflow.python.framework.config")
    if config is not None:
        yield "tensorflow.op_determinism", config.is_op_determinism_enabled
        yield "tensorflow.tensor_float_32", config.tensor_float_32_execution_enabled
    jax = sys.modules.get("jax")
    if jax is not None:
        for option in ("enable_x64", "default_matmul_precision", "default_prng_impl", "threefry_partitionable"):
            yield f"jax.{option}", functools.partial(getattr, jax.config, f"jax_{option}")


def _threads() -> _Facts:
    for name in THREAD_VARIABLES:
        yield name, functools.partial(_variable, name)
    yield "cores", lambda: len(os.sched_getaffinity(0))
    torch = sys.modules.get("torch")
    if torch is not None:
        yield "torch", torch.get_num_threads
        yield "torch.interop", torch.get_num_interop_threads
    config = sys.modules.get("tensorflow.python.framework.config")
    if config is not None:
        yield "tensorflow.intra", config.get_intra_op_parallelism_threads
        yield "tensorflow.inter", config.get_inter_op_parallelism_threads


def _variable(name: str) -> str | None:
    value = os.environ.get(name)
    return None if value is None else redact_text(value)


def _keras_attribute(name: str) -> Any:
    state = sys.modules.get("keras.src.backend.common.global_state")
    return None if state is None else state.get_global_attribute(name)


def _state_of(generator: Any) -> Any:
    """The state of a generator of any library; a number, a text or an array is its own."""
    for name in ("getstate", "get_state"):  # Python's; numpy's RandomState and torch's
        method = getattr(generator, name, None)
        if callable(method):
            return method()
    for name in ("bit_generator", "state"):  # numpy's Generator; its bit generators, keras's and tensorflow's
        inner = getattr(generator, name, None)
        if inner is not None:
            return _state_of(inner)
    if not isinstance(generator, (int, str, bytes, tuple, list, Mapping)) and not hasattr(generator, "dtype"):
        raise TypeError  # nothing else has a text that means its state
    return generator


def _parts(state: Any) -> Iterator[bytes]:
    """The bytes of a state, with its structure between them."""
    if isinstance(state, Mapping):
        for key in sorted(state, key=str):
            yield f"{key}:".encode()
            yield from _parts(state[key])
    elif isinstance(state, (list, tuple)):
        try:
            yield array("Q", state).tobytes()  # of Python's own generator: 625 integers
        except (TypeError, OverflowError):
            for item in state:
                yield from _parts(item)
                yield b","
    elif hasattr(state, "dtype") or hasattr(state, "numpy"):
        values = _array(state)
        yield f"{values.dtype}{values.shape}".encode()
        yield values.tobytes()
    else:
        yield repr(state).encode("utf-8", "surrogatepass")


def _array(state: Any) -> Any:
    import numpy as np  # is imported where such a state is

    jax = sys.modules.get("jax")
    if jax is not None and isinstance(state, jax.Array) and not isinstance(state.dtype, np.dtype):
        state = jax.random.key_data(state)  # a typed key
    if hasattr(state, "numpy"):
        state = state.numpy()
    return np.asarray(state)
