"""Floating point operations of plain PyTorch, and what devices can do."""

import pytest

torch = pytest.importorskip("torch")

from barograph.integrations.torch.flops import FlopCounter, reason_against  # noqa: E402
from barograph.integrations.torch.peaks import peak_of, single_precision  # noqa: E402


def _counted(work: object) -> FlopCounter:
    counter = FlopCounter()
    counter.begin()
    work()  # type: ignore[operator]
    counter.end()
    return counter


def test_it_counts_what_torch_counts() -> None:
    """The same as torch's own counter, forward and backward."""
    from torch.utils.flop_counter import FlopCounterMode

    net = torch.nn.Sequential(torch.nn.Conv1d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(24, 2))
    inputs = torch.rand(5, 3, 8, requires_grad=True)
    with FlopCounterMode(display=False) as known:
        net(inputs).sum().backward()
    counter = _counted(lambda: net(inputs).sum().backward())
    assert counter.problem is None
    assert counter.flops == known.get_total_flops() > 0


def test_what_it_cannot_see_into_is_a_problem() -> None:
    """In inference mode operations come as a whole; torch has no formula for those."""

    def work() -> None:
        with torch.inference_mode():
            torch.nn.Linear(3, 2)(torch.rand(4, 3))

    assert "aten.linear in inference mode" in str(_counted(work).problem)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_scripted_part_is_not_counted() -> None:
    """What torch.jit runs is its own affair."""

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = torch.jit.trace(torch.nn.Linear(3, 2), torch.rand(1, 3))

    assert "torch.jit" in str(reason_against(Net()))


@pytest.mark.parametrize(
    ("device", "precision", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", "bf16", 989.4e12),
        ("NVIDIA A100-SXM4-40GB", "tf32", 156e12),
        ("NVIDIA A100 80GB PCIe", "64", 19.5e12),
        ("Tesla T4", "16", 65e12),
        ("Tesla T4", "bf16", None),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "16", None),
        ("NVIDIA GeForce RTX 3090 Ti", "16", None),
        ("NVIDIA H200", "transformer", None),
        ("cpu", "32", None),
    ],
)
def test_peaks_are_those_of_the_whole_device_in_that_precision(device: str, precision: str, peak: float | None) -> None:
    """A part of a device, and one that is not in the table, has none."""
    assert peak_of(device, precision) == peak


def test_single_precision_is_what_torch_is_allowed_to_take_for_it() -> None:
    """TF32 where the user has said so."""
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("highest")
        assert single_precision() == "32"
        torch.set_float32_matmul_precision("high")
        assert single_precision() == "tf32"
    finally:
        torch.set_float32_matmul_precision(before)
