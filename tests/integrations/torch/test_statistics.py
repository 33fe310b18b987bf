"""Torch tensors of every kind and layout have the statistics of their numbers, with and without the kernel."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from barograph.integrations.torch.statistics import of_tensors  # noqa: E402  # needs torch
from barograph.tensors.compute import FULL_UP_TO, has_kernel  # noqa: E402
from barograph.tensors.statistics import Statistics  # noqa: E402

WAYS = [pytest.param(True, marks=pytest.mark.skipif(not has_kernel(), reason="no kernel")), False]
LARGE = 40_001  # sampled, and no whole number of blocks


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def _check(found: Statistics, tensor: torch.Tensor) -> None:
    values = tensor.detach().to(torch.float64).numpy().astype(np.longdouble).ravel()
    finite = values[np.isfinite(values)]
    std = float(np.sqrt(np.mean((finite - finite.mean()) ** 2)))
    assert (found.count, found.finite, found.zeros) == (values.size, finite.size, (finite == 0).sum())
    assert (found.nans, found.pos_infs) == (np.isnan(values).sum(), np.isposinf(values).sum())
    assert (found.min, found.max) == (float(finite.min()), float(finite.max()))
    assert found.std == pytest.approx(std, rel=1e-6)
    assert found.mean == pytest.approx(float(finite.mean()), abs=1e-6 * std, rel=1e-12)
    assert found.l2 == pytest.approx(float(np.sqrt(np.sum(finite**2))), rel=1e-6)


@pytest.mark.parametrize("native", WAYS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("size", [1, 1000, LARGE])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("middle", [0.0, 1.5, 500.0])
def test_tensors_match_a_wide_reference(
    native: bool, dtype: torch.dtype, size: int, scale: float, middle: float
) -> None:
    """Counts and extremes are exact and moments good to 1e-6, small and large, near zero and far, of any float type."""
    tensor = ((torch.randn(size, dtype=torch.float64) + middle) * scale).to(dtype)
    tensor[::7] = -0.0
    if torch.isfinite(tensor).any():
        _check(of_tensors([tensor], native=native)[0], tensor)


@pytest.mark.parametrize("native", WAYS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pieces_of_a_large_tensor_add_up(native: bool, dtype: torch.dtype) -> None:
    """A tensor larger than what is treated at a time is counted whole."""
    tensor = torch.randn((1 << 20) + 4321).to(dtype)
    _check(of_tensors([tensor], native=native)[0], tensor)


@pytest.mark.parametrize("native", WAYS)
def test_what_is_not_finite_is_counted(native: bool) -> None:
    """A large tensor with some infinities and NaN has exact counts of them and moments of the rest."""
    tensor = torch.randn(LARGE)
    tensor[5::10_000] = torch.inf
    tensor[7::20_000] = torch.nan
    _check(of_tensors([tensor], native=native)[0], tensor)


@pytest.mark.parametrize("native", WAYS)
@pytest.mark.parametrize("dtype", [torch.int8, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.bool])
def test_integers_and_truth_values(native: bool, dtype: torch.dtype) -> None:
    """Every integer type and bool has the statistics of its numbers."""
    tensor = torch.randint(0, 2, (5000,)).to(dtype)
    _check(of_tensors([tensor], native=native)[0], tensor)


@pytest.mark.parametrize("native", WAYS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_layouts_are_read_as_they_are_seen(native: bool, dtype: torch.dtype) -> None:
    """Turned, channels-last, cut and expanded tensors count exactly the elements that they show."""
    cube = torch.randn(8, 6, 40, 50).to(dtype)
    views = [cube.permute(3, 0, 2, 1), cube.contiguous(memory_format=torch.channels_last), cube[:, ::2, 3:, 1:-1]]
    views.append(cube[0, 0, 0].expand(30, 50))
    for view, found in zip(views, of_tensors(views, native=native), strict=True):
        _check(found, view)


@pytest.mark.parametrize("native", WAYS)
def test_parameters_and_their_gradients_are_taken(native: bool) -> None:
    """Leaves that require a gradient, and their gradients, are read without a graph being made or kept."""
    layer = torch.nn.Linear(20, 30)
    layer(torch.randn(4, 20)).square().sum().backward()
    tensors = [layer.weight, layer.weight.grad, layer(torch.randn(2, 20))]
    for tensor, found in zip(tensors, of_tensors(tensors, native=native), strict=True):
        _check(found, tensor)


@pytest.mark.filterwarnings("ignore:Sparse CSR")
@pytest.mark.parametrize("native", WAYS)
def test_sparse_tensors_count_with_their_zeros(native: bool) -> None:
    """The gradient of a sparse embedding, with rows used twice, has the statistics of its dense form."""
    embedding = torch.nn.Embedding(50, 4, sparse=True)
    embedding(torch.tensor([3, 7, 3])).square().sum().backward()
    assert embedding.weight.grad is not None
    for sparse in (embedding.weight.grad, embedding.weight.grad.to_dense()[:, :2].to_sparse_csr()):
        (found,) = of_tensors([sparse], native=native)
        _check(found, sparse.to_dense())
        assert found.counts.sum() == found.count


@pytest.mark.parametrize("native", WAYS)
def test_rare_number_types_are_widened(native: bool) -> None:
    """Complex numbers count as two, conjugated or not; floats of eight bits are widened; a lazy minus sign is kept."""
    numbers = torch.tensor([1 + 2j, -3 - 4j])
    conjugated, narrow, negated = of_tensors(
        [numbers.conj(), torch.tensor([1.0, 2.0]).to(torch.float8_e4m3fn), numbers.conj().imag], native=native
    )
    assert (conjugated.count, conjugated.min, conjugated.max) == (4, -3.0, 4.0)
    assert (narrow.mean, narrow.max) == (1.5, 2.0)
    assert (negated.min, negated.max) == (-2.0, 4.0)


@pytest.mark.parametrize("native", WAYS)
def test_tensors_without_numbers_are_refused(native: bool) -> None:
    """A tensor on the meta device holds no numbers and raises TypeError."""
    with pytest.raises(TypeError, match="meta"):
        of_tensors([torch.empty(3, device="meta")], native=native)


@pytest.mark.skipif(not has_kernel(), reason="no kernel")
def test_kernel_and_torch_fill_the_same_bins() -> None:
    """With the same sampling both ways put the same elements into the same bins."""
    tensor = torch.randn(FULL_UP_TO + 40_000) + 0.25
    one, other = (of_tensors([tensor], [0.125], native=native)[0] for native in (True, False))
    assert one.sampling == other.sampling
    assert one.bins.tolist() == other.bins.tolist()
    assert one.counts.tolist() == other.counts.tolist()


def test_large_tensors_are_sampled_thinly_without_the_kernel() -> None:
    """Where a sampled element is dear, no more than 65,536 of them are taken, and the record says so."""
    (found,) = of_tensors([torch.randn(1_000_000)], native=False)
    assert found.sampling == 16
    assert found.counts.sum() == 1_000_000 // 16


@pytest.mark.skipif(not has_kernel(), reason="no kernel")
def test_flushing_subnormal_numbers_changes_no_count() -> None:
    """With torch.set_flush_denormal the kernel still sees subnormal numbers, and the setting outlives the call."""
    tensor = torch.full((100,), 1e-40)
    torch.set_flush_denormal(True)
    try:
        (found,) = of_tensors([tensor])
        flushed = torch.tensor([1e-40]) * 0.5
    finally:
        torch.set_flush_denormal(False)
    assert (found.zeros, found.min) == (0, tensor.numpy()[0])
    assert flushed.item() == 0


@pytest.mark.parametrize("native", WAYS)
def test_reading_changes_nothing(native: bool) -> None:
    """Tensors, their versions and the random state are what they were."""
    tensor = torch.randn(LARGE)
    before, version, state = tensor.clone(), tensor._version, torch.get_rng_state()
    of_tensors([tensor, tensor[::2]], native=native)
    assert torch.equal(tensor, before)
    assert tensor._version == version
    assert torch.equal(torch.get_rng_state(), state)
