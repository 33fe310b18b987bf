"""Takes the statistics of many tensors at once: by the kernel where it is built, else in numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrays import of_array
from .bins import SAMPLINGS
from .statistics import Statistics

SAMPLING = 8  # every n-th element enters the histogram: its price falls to a tenth, its quantiles stay the same
FULL_UP_TO = 16_384  # elements: a tensor this small is binned whole, for its sample would be thin


class Memory(NamedTuple):
    """Where a tensor's numbers lie in this process; whoever passes it keeps them alive.

    kind: as numpy names the number type, "bfloat16" besides. shape, strides (in bytes): None if there are no gaps.
    """

    address: int
    kind: str
    size: int
    shape: tuple[int, ...] | None = None
    strides: tuple[int, ...] | None = None


class _Kernel(NamedTuple):
    compute: Callable[..., list[tuple[int, int, int, int, int, float, float, float, float, bytes, bytes]]]
    kinds: dict[str, int]


@cache
def _kernel() -> _Kernel | None:
    try:
        from . import _kernel as built  # an install without a compiler has none
    except ImportError:
        return None
    return _Kernel(built.compute, {name: code for code, name in enumerate(built.KINDS)})


def has_kernel() -> bool:
    """Whether the kernel was built with this install."""
    return _kernel() is not None


def of_memory(
    tensors: Sequence[Memory], centres: Sequence[float] | None = None, sampling: int = SAMPLING
) -> list[Statistics]:
    """The statistics of tensors that lie in this process, by one call of the kernel, which must be there.

    centres, sampling: as for of_arrays. Numbers of other processes or devices must not be passed: the kernel reads the
    addresses as they are. It gives the GIL back while it works for long.
    """
    kernel = _kernel()
    if kernel is None:
        raise RuntimeError("the statistics kernel was not built with this install")
    middles = centres or [0.0] * len(tensors)
    wanted = [sampling_of(tensor.size, sampling) for tensor in tensors]
    rows = [
        (address, kernel.kinds[kind], size, centre, every, shape, strides)
        for (address, kind, size, shape, strides), centre, every in zip(tensors, middles, wanted, strict=True)
    ]
    return [
        Statistics(
            *found[:9],
            centre=centre,
            sampling=every,
            bins=np.frombuffer(found[9], dtype=np.uint16),
            counts=np.frombuffer(found[10], dtype=np.uint64),
        )
        for found, centre, every in zip(kernel.compute(rows), middles, wanted, strict=True)
    ]


def of_arrays(
    arrays: Sequence[object],
    centres: Sequence[float] | None = None,
    sampling: int = SAMPLING,
    native: bool | None = None,
) -> list[Statistics]:
    """The statistics of arrays: of numpy, of jax on the CPU, or whatever numpy makes an array of without copying.

    centres: for each array the value about which its histogram is binned; see Statistics.next_centre().
    sampling: every n-th element of an array of more than FULL_UP_TO enters its histogram; a power of two up to 1,024,
    or 0 for no histograms. native: whether the kernel does it; None: if it is there.
    Complex numbers count as two. Raises TypeError for arrays that hold no numbers.
    """
    plain = [_numbers(array) for array in arrays]
    if has_kernel() if native is None else native:
        return of_memory([_memory(array) for array in plain], centres, sampling)
    middles = centres or [0.0] * len(plain)
    return [
        of_array(array, _name_of(array.dtype), centre, sampling_of(array.size, sampling))
        for array, centre in zip(plain, middles, strict=True)
    ]


def on_host(values: Any) -> Any:  # Any: tensors and arrays of all libraries
    """What numpy can take: a tensor of torch without its graph, in host memory, in a type that numpy has."""
    if not hasattr(values, "detach"):
        return values
    tensor = values.detach().cpu()
    try:
        return tensor.numpy()
    except TypeError:  # bfloat16 and its like
        return tensor.float().numpy()


def sampling_of(size: int, sampling: int) -> int:
    """Every how many elements of a tensor of that size enter its histogram. Raises ValueError for no such sampling."""
    if sampling not in SAMPLINGS:
        raise ValueError(f"sampling is 0 or a power of two up to {SAMPLINGS[-1]}, not {sampling}")
    return min(sampling, 1) if size <= FULL_UP_TO else sampling


@cache  # numpy spells the name out each time, which takes longer than the statistics of a short column
def _name_of(dtype: np.dtype[Any]) -> str:
    return str(dtype.name)


def _numbers(array: object) -> NDArray[np.generic]:
    """The array in numpy's hands, as one of the kinds that both ways know."""
    plain = np.asarray(array)
    name, letter = _name_of(plain.dtype), plain.dtype.kind
    if letter == "c":
        plain = plain.reshape(-1).view(plain.real.dtype)
    elif plain.dtype.itemsize == 1 and name.startswith(("float", "int", "uint")) and letter in "Vf":
        plain = plain.astype(np.float32)  # the eight bits and fewer of ml_dtypes
    elif letter not in "biuf" and name != "bfloat16":
        raise TypeError(f"statistics are taken of numbers, not of {name}")
    if plain.dtype.itemsize > 8:
        plain = plain.astype(np.float64)
    if not (plain.flags.aligned and plain.dtype.isnative):
        plain = plain.astype(plain.dtype.newbyteorder("="))
    return plain


def _memory(array: NDArray[np.generic]) -> Memory:
    address = array.__array_interface__["data"][0]
    if array.flags.c_contiguous:
        return Memory(address, _name_of(array.dtype), array.size)
    return Memory(address, _name_of(array.dtype), array.size, array.shape, array.strides)
