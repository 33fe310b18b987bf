"""Statistics that are started now and collected later; on the CPU by the operations that run on a device.

The Triton launch itself runs where there is a CUDA device; elsewhere Triton interprets it, in a process of its own.
"""

import collections
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from barograph.integrations.torch.on_device import SLOTS, DeviceStatistics  # noqa: E402  # needs torch
from barograph.integrations.torch.statistics import of_tensors  # noqa: E402
from barograph.tensors.statistics import Statistics  # noqa: E402

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
WAYS = [("cpu", INTERPRETED)]
if torch.cuda.is_available():
    WAYS += [("cuda", False), ("cuda", True)]


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0]}, {'one launch' if way[1] else 'operations'}")
def taking(request: pytest.FixtureRequest) -> DeviceStatistics:
    """Both ways of taking them, on what devices there are."""
    device, native = request.param
    torch.manual_seed(0)
    return DeviceStatistics(torch.device(device), native)


class _Operations(TorchDispatchMode):
    """Counts the operations of torch by name."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: collections.Counter[str] = collections.Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.counts[function.__name__.partition(".")[0]] += 1
        return function(*args, **(kwargs or {}))


@contextmanager
def _without_waiting() -> Iterator[None]:
    """Any call that waits for the device is an error in here."""
    if torch.cuda.is_available():
        torch.cuda.set_sync_debug_mode("error")
    yield
    if torch.cuda.is_available():
        torch.cuda.set_sync_debug_mode("default")
        torch.cuda.synchronize()


def _taken(
    taking: DeviceStatistics, tensors: list[torch.Tensor], centres: list[float] | None = None, sampling: int = 8
) -> list[Statistics]:
    placed = [tensor.to(taking.device) for tensor in tensors]
    with _without_waiting():
        assert taking.start(placed, "a mark", centres, sampling)
    with _without_waiting():
        ((mark, found),) = taking.arrived()
    assert mark == "a mark"
    return found


def _same(found: Statistics, expected: Statistics) -> None:
    for name in ("count", "zeros", "nans", "pos_infs", "neg_infs", "centre", "sampling"):
        assert getattr(found, name) == getattr(expected, name), name
    assert (found.min, found.max) == pytest.approx((expected.min, expected.max), rel=0, abs=0, nan_ok=True)
    assert found.std == pytest.approx(expected.std, rel=1e-6, abs=1e-300, nan_ok=True)
    assert found.mean == pytest.approx(expected.mean, abs=1e-6 * expected.std + 1e-15 * abs(expected.mean), nan_ok=True)
    assert found.bins.tolist() == expected.bins.tolist()
    assert found.counts.tolist() == expected.counts.tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int32])
@pytest.mark.parametrize("sampling", [0, 1, 8, 32])
def test_tensors_have_the_statistics_they_have_on_the_cpu(
    taking: DeviceStatistics, dtype: torch.dtype, sampling: int
) -> None:
    """Small, large, empty and off-centre tensors in one launch: the same counts, moments and bins as by the kernel."""
    normal = torch.randn(140_003) * 3
    cases = [normal, normal[:5], normal[:1024] + 100, normal[:0], normal.clamp(min=0)[:70_000], normal[:1]]
    tensors = [case.to(dtype) for case in cases]
    centres = [0.0, 0.0, 100.0, 0.0, 0.0, 1.0]
    found = _taken(taking, tensors, centres, sampling)
    for one, expected in zip(found, of_tensors(tensors, centres, sampling), strict=True):
        _same(one, expected)


def test_large_tensors_are_taken_in_chunks(taking: DeviceStatistics) -> None:
    """Where one ends within a block, and where many small ones share what is treated at a time."""
    torch.manual_seed(1)
    tensors = [torch.randn(size) + size % 3 for size in (300, (1 << 21) + 5, 1024, 700_001, 1, (1 << 21) * 2)]
    if INTERPRETED:
        tensors = [tensor[:200_005] for tensor in tensors]
    for one, expected in zip(_taken(taking, tensors), of_tensors(tensors, sampling=8), strict=True):
        _same(one, expected)


def test_more_tensors_take_no_more_operations() -> None:
    """Plain torch treats all of them at once, apart from laying each beside the others; and it asks for no result."""
    counts = []
    for number in (30, 60):
        tensors = [torch.randn(100 + 10 * place) for place in range(number)]
        with _Operations() as operations:
            DeviceStatistics(torch.device("cpu"), native=False).start(tensors)
        counts.append(operations.counts)
        assert not operations.counts.keys() & {"_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select"}
    few, many = counts
    grown = {name for name in many if many[name] > few[name]}
    assert grown <= {"view", "_unsafe_view", "copy_"}


@pytest.mark.skipif(INTERPRETED or torch.cuda.is_available(), reason="is what runs here")
def test_the_one_launch_does_the_same() -> None:
    """As Triton's interpreter runs it."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "passed" in done.stdout


def test_what_is_not_finite_and_far_apart_is_exact(taking: DeviceStatistics) -> None:
    """Infinities, NaN, subnormal and huge values, and a chunk without a finite value, spoil nothing."""
    odd = torch.randn(150_000)
    odd[3::1000], odd[4::1000], odd[5::2000] = torch.inf, -torch.inf, torch.nan
    odd[:70_000] = torch.nan
    scales = torch.cat([torch.randn(5000) * 1e-30, torch.randn(5000) * 1e30, torch.full((9,), 1e-41)])
    tensors = [odd, scales, torch.full((10,), torch.nan), torch.full((3000,), 1 / 3)]
    for one, expected in zip(_taken(taking, tensors), of_tensors(tensors, sampling=8), strict=True):
        _same(one, expected)


def test_views_and_sparse_tensors_are_taken(taking: DeviceStatistics) -> None:
    """Turned, cut and misaligned views, complex numbers and sparse gradients are read as they are."""
    plane = torch.randn(60, 70)
    tensors = [plane.T, plane[:, ::2], plane.view(-1)[1:], torch.view_as_complex(torch.randn(9, 2)).conj()]
    tensors.append(torch.randn(8, 3).clamp(min=0.5).sub(0.5).to_sparse())
    for one, expected in zip(_taken(taking, tensors), of_tensors(tensors, sampling=8), strict=True):
        _same(one, expected)


def test_launches_arrive_in_order_and_a_full_ring_drops(taking: DeviceStatistics) -> None:
    """Several launches may be under way; one too many is refused and counted, and slots are used again."""
    tensors = [torch.randn(100).to(taking.device)]
    for round_ in range(3):
        with _without_waiting():
            taken = [taking.start(tensors, (round_, number)) for number in range(SLOTS + 1)]
        assert taken == [True] * SLOTS + [False]
        assert taking.pending == SLOTS
        assert [mark for mark, _ in taking.arrived()] == [(round_, number) for number in range(SLOTS)]
    assert taking.dropped == 3
    assert not taking.start([])
    assert taking.dropped == 3


def test_tensors_may_change_once_started(taking: DeviceStatistics) -> None:
    """The statistics are those of the moment of the start, and no tensor is kept."""
    tensor = torch.ones(1000, device=taking.device)
    with _without_waiting():
        taking.start([tensor])
        tensor.fill_(2)
    ((_, (found,)),) = taking.arrived()
    assert (found.mean, found.max) == (1.0, 1.0)


def test_a_failed_start_harms_no_later_one(taking: DeviceStatistics) -> None:
    """A start that raises gives its slot back."""
    for _ in range(SLOTS + 1):
        with pytest.raises(ValueError):
            taking.start([torch.ones(3, device=taking.device)], sampling=3)
    (found,) = _taken(taking, [torch.ones(3)])
    assert np.array_equal(found.counts, [3])
