"""Both ways of computing statistics agree with plain float64 arithmetic, whatever the tensor holds."""

import math
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from barograph.tensors import bins, compute
from barograph.tensors.arrays import PIECE
from barograph.tensors.compute import FULL_UP_TO, Memory, has_kernel, of_arrays
from barograph.tensors.statistics import Statistics

WAYS = [pytest.param(True, marks=pytest.mark.skipif(not has_kernel(), reason="no kernel")), False]
ml_dtypes = pytest.importorskip("ml_dtypes")


def _tensor(case: str, dtype: str) -> NDArray[np.generic]:
    random = np.random.default_rng(7)
    normal = random.normal(size=20_011)
    made = {
        "normal": normal * 0.02,
        "small": normal * 1e-30,
        "large": normal * 1e30,
        "mixed scales": np.where(random.random(20_011) < 0.5, normal * 1e-30, normal * 1e30),
        "subnormal": normal * 1e-41,
        "far from zero": 1000 + 0.001 * normal,
        "outlier first": np.concatenate(([3e38], normal)),
        "not finite": np.where(random.random(20_011) < 0.01, random.choice([np.nan, np.inf, -np.inf], 20_011), normal),
        "not finite first": np.concatenate((np.full(3000, np.nan), normal, [np.inf])),
        "zeros": np.where(random.random(20_011) < 0.5, 0.0, -0.0) * normal,
        "half zeros": np.maximum(normal, 0),
        "constant": np.full(5000, 1 / 3),
        "one": np.array([-2.5]),
    }[case]
    with np.errstate(over="ignore"):
        return made.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


CASES = [
    "normal", "small", "large", "mixed scales", "subnormal", "far from zero", "outlier first", "not finite",
    "not finite first", "zeros", "half zeros", "constant", "one",
]  # fmt: skip


def _check(found: Statistics, tensor: NDArray[np.generic]) -> None:
    values = tensor.astype(np.longdouble).ravel()
    finite = values[np.isfinite(values)]
    assert found.count == values.size
    assert found.nans == np.isnan(values).sum()
    assert found.pos_infs == np.isposinf(values).sum()
    assert found.neg_infs == np.isneginf(values).sum()
    assert found.finite == finite.size
    assert found.zeros == (finite == 0).sum()
    if not finite.size:
        assert math.isnan(found.mean)
        return
    std = float(np.sqrt(np.mean((finite - finite.mean()) ** 2)))
    assert (found.min, found.max) == (float(finite.min()), float(finite.max()))
    assert found.std == pytest.approx(std, rel=1e-6, abs=abs(float(finite.mean())) * 1e-15 + 1e-323)
    assert found.mean == pytest.approx(float(finite.mean()), abs=1e-6 * std, rel=1e-15)
    assert found.l2 == pytest.approx(float(np.sqrt(np.sum(finite**2))), rel=1e-6, abs=1e-321)


@pytest.mark.parametrize("native", WAYS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("case", CASES)
def test_floats_match_a_wide_reference(native: bool, dtype: str, case: str) -> None:
    """Counts and extremes are exact and moments good to 1e-6, for every float type and nasty content."""
    tensor = _tensor(case, dtype)
    (found,) = of_arrays([tensor], native=native, sampling=1)
    _check(found, tensor)
    assert found.counts.sum() == found.finite


@pytest.mark.parametrize("native", WAYS)
@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e200, 1e308])
def test_doubles_keep_their_range(native: bool, scale: float) -> None:
    """Doubles whose squares leave the range of a double have a mean, a deviation and a norm all the same."""
    tensor = np.linspace(-1, 1, 3001) * scale
    (found,) = of_arrays([tensor], native=native)
    _check(found, tensor)


@pytest.mark.parametrize("native", WAYS)
@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"])
def test_integers_and_truth_values(native: bool, dtype: str) -> None:
    """Every integer type and bool has the statistics of its numbers."""
    tensor = np.random.default_rng(1).integers(0, 100, 5000).astype(dtype)
    (found,) = of_arrays([tensor], native=native)
    _check(found, tensor)


@pytest.mark.parametrize("native", WAYS)
@pytest.mark.parametrize(
    "view",
    [
        lambda cube: cube.T,
        lambda cube: cube[:, ::2],
        lambda cube: cube[::-1, 3:17, ::-3],
        lambda cube: cube[:, :, 5],
        lambda cube: cube[1:2, :, None, 7:8],
        lambda cube: np.broadcast_to(cube[0, 0], (11, 40)),
        lambda cube: cube[:0],
        lambda cube: cube[3, 4, 5],
    ],
    ids=["turned", "rows left out", "backwards", "one column", "thin", "repeated", "empty", "a number"],
)
def test_views_are_read_as_they_are_seen(native: bool, view: object) -> None:
    """Gaps, turned axes, negative and zero strides count exactly the elements that the view shows."""
    cube = np.random.default_rng(2).normal(size=(50, 30, 40)).astype(np.float32)
    tensor = np.asarray(view(cube))  # type: ignore[operator]  # a lambda of the table above
    (found,) = of_arrays([tensor], native=native, sampling=1)
    _check(found, tensor)


def test_a_large_view_with_gaps_needs_no_full_copy() -> None:
    """Without the kernel an array with gaps larger than a piece is copied piece by piece and still counted exactly."""
    tensor = np.random.default_rng(3).normal(size=(PIECE, 3))[:, :2]
    (found,) = of_arrays([tensor], native=False)
    _check(found, tensor)


@pytest.mark.skipif(not has_kernel(), reason="no kernel")
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int32"])
@pytest.mark.parametrize("sampling", [0, 1, 2, 8, 32, 1024])
@pytest.mark.parametrize("centre", [0.0, 0.75])
def test_both_ways_fill_the_same_bins(dtype: str, sampling: int, centre: float) -> None:
    """Kernel and numpy sample the same elements and put each into the same bin."""
    tensor = (np.random.default_rng(4).normal(size=70_001) * 3 + centre).astype(
        ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    )
    tensor[::97] = 0
    (one,), (other,) = (of_arrays([tensor], [centre], sampling, native=native) for native in (True, False))
    assert one.sampling == other.sampling == sampling
    assert one.bins.tolist() == other.bins.tolist()
    assert one.counts.tolist() == other.counts.tolist()
    assert (len(one.bins) == 0) == (sampling == 0)


@pytest.mark.skipif(not has_kernel(), reason="no kernel")
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("case", ["normal", "not finite", "far from zero", "subnormal", "zeros"])
def test_the_plain_kernel_agrees_with_the_vector_one(dtype: str, case: str) -> None:
    """The C code for processors without AVX2 finds what the vector code finds."""
    from barograph.tensors import _kernel

    tensor = _tensor(case, dtype)
    row = (tensor.ctypes.data, _kernel.KINDS.index(dtype), tensor.size, 0.0, 1, None, None)
    vector, plain = (_kernel.compute([row], vectors)[0] for vectors in (True, False))
    assert vector[:5] == plain[:5]
    assert vector[5:9] == pytest.approx(plain[5:9], rel=1e-9)
    assert vector[9:] == plain[9:]


@pytest.mark.parametrize("native", WAYS)
def test_small_tensors_are_binned_whole(native: bool) -> None:
    """A sample of a small tensor would be thin, so all of it enters the histogram."""
    small, large = of_arrays([np.ones(FULL_UP_TO), np.ones(FULL_UP_TO + 1)], native=native)
    assert small.sampling == 1
    assert large.sampling == compute.SAMPLING


@pytest.mark.parametrize("native", WAYS)
def test_no_column_is_favoured_by_sampling(native: bool) -> None:
    """The sample of a matrix with eight columns holds each of them alike."""
    tensor = np.tile(2.0 ** np.arange(8, dtype=np.float32), 64 * 1024)
    (found,) = of_arrays([tensor], sampling=8, native=native)
    assert found.counts.tolist() == [8192] * 8


@pytest.mark.parametrize("native", WAYS)
def test_bins_are_cut_at_half_octaves(native: bool) -> None:
    """A value on an edge lies in the bin that begins there, for floats and doubles of either sign."""
    edges = bins.EDGES[bins.EDGES > 0][1:-1]
    for tensor in (edges.astype(np.float32), edges, np.nextafter(edges, np.inf)):
        (found,) = of_arrays([tensor], native=native, sampling=1)
        assert np.array_equal(bins.EDGES[bins.place_of(found.bins)], edges)
        (mirrored,) = of_arrays([-tensor], native=native, sampling=1)
        assert np.array_equal(bins.EDGES[bins.place_of(mirrored.bins) + 1], -edges)


@pytest.mark.parametrize("native", WAYS)
def test_complex_and_narrow_floats_are_taken(native: bool) -> None:
    """A complex number counts as two; floats of eight bits are widened."""
    twice, narrow = of_arrays([np.array([1 + 2j]), np.ones(3, dtype=ml_dtypes.float8_e4m3fn)], native=native)
    assert (twice.count, twice.min, twice.max) == (2, 1.0, 2.0)
    assert (narrow.count, narrow.mean) == (3, 1.0)


@pytest.mark.parametrize("native", WAYS)
def test_what_holds_no_numbers_is_refused(native: bool) -> None:
    """Text and objects raise TypeError; a sampling that is no power of two raises ValueError."""
    with pytest.raises(TypeError, match="numbers"):
        of_arrays([np.array(["a"])], native=native)
    with pytest.raises(ValueError, match="power of two"):
        of_arrays([np.ones(3)], sampling=3, native=native)


@pytest.mark.skipif(not has_kernel(), reason="no kernel")
@pytest.mark.parametrize(
    "row",
    [
        (0, 0, 4, 0.0, 1, None, None),
        (8, 99, 4, 0.0, 1, None, None),
        (8, 0, -1, 0.0, 1, None, None),
        (8, 0, 4, math.nan, 1, None, None),
        (8, 0, 4, 0.0, 4096, None, None),
        (8, 0, 4, 0.0, 1, (2, 3), (12, 4)),
        (8, 0, 4, 0.0, 1, (4,), (4, 4)),
        (8, 0, 2**62, 0.0, 1, (2**61, 2**61), (4, 4)),
    ],
)
def test_the_kernel_refuses_contradictions(row: tuple[object, ...]) -> None:
    """An address of nothing, an unknown kind or a shape of another size is an error, not a crash."""
    from barograph.tensors import _kernel

    with pytest.raises(ValueError):
        _kernel.compute([row])  # type: ignore[list-item]  # wrong on purpose


@pytest.mark.skipif(not has_kernel(), reason="no kernel")
def test_the_kernel_reads_other_memory_in_place() -> None:
    """Whatever lies at an address is read there: the numbers of a ctypes array as well."""
    import ctypes

    numbers = (ctypes.c_float * 3)(1, 2, 3)
    (found,) = compute.of_memory([Memory(ctypes.addressof(numbers), "float32", 3)])
    assert (found.count, found.mean) == (3, 2.0)


@pytest.mark.skipif(not has_kernel(), reason="no kernel")
def test_other_threads_run_while_the_kernel_works() -> None:
    """A long call gives the GIL back."""
    tensor = np.ones(3_000_000, dtype=np.float64)
    turns = 0
    stop = threading.Event()

    def count() -> None:
        nonlocal turns
        while not stop.is_set():
            turns += 1

    thread = threading.Thread(target=count)
    thread.start()
    try:
        before, began = turns, time.perf_counter()
        of_arrays([tensor] * 20, sampling=0)
        elapsed, counted = time.perf_counter() - began, turns - before
    finally:
        stop.set()
        thread.join()
    assert counted > 1000 * elapsed  # a blocked thread would have had no turn but while rows were made


def test_jax_arrays_are_taken() -> None:
    """Arrays of jax on the CPU are read where they lie."""
    jax = pytest.importorskip("jax")
    (found,) = of_arrays([jax.numpy.arange(4, dtype="bfloat16")])
    assert (found.count, found.mean, found.max) == (4, 1.5, 3.0)


def test_loading_leaves_subnormal_numbers_alone() -> None:
    """Importing the kernel does not switch the thread to flush-to-zero, which would change every training."""
    code = "import barograph.tensors.compute as c; c.of_arrays([[1e-310]]); assert 1e-310 * 0.5 > 0"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
