"""Lightning: weights, gradients, updates and activations are recorded by default, true and before clipping."""

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from torch import nn

import barograph
from barograph.integrations.lightning import BarographCallback

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),  # Lightning's advice for real data
    pytest.mark.filterwarnings("ignore:.*treespec, LeafSpec"),  # torch's, about Lightning's own code
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval"),
]


class _Net(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.rectifier, self.second = nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1)
        self.seen: list[float] = []

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        inputs, targets = batch
        return nn.functional.mse_loss(self.second(self.rectifier(self.first(inputs))), targets)

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        norms = [one.grad.double().norm() for one in self.parameters() if one.grad is not None]
        self.seen.append(float(torch.stack(norms).norm()))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def _fit(callback: BarographCallback | None, tmp_path: Path, **settings: Any) -> _Net:
    torch.manual_seed(0)
    data = torch.utils.data.TensorDataset(torch.randn(64, 8), torch.randn(64, 1))
    module = _Net()
    trainer = L.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, default_root_dir=tmp_path, callbacks=callback, **settings,
    )  # fmt: skip
    trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=8))
    return module


def test_gradients_are_those_before_clipping_and_the_factor_is_told(tmp_path: Path) -> None:
    """The norm is the module's own of that moment; the optimiser saw a clipped one."""
    module = _fit(BarographCallback(quiet=True), tmp_path, gradient_clip_val=0.01)
    (view,) = barograph.open().runs()
    norms = view.metric("gradients/norm")
    assert norms.steps[:3].tolist() == [0, 1, 2]
    assert norms.values == pytest.approx([module.seen[step] for step in norms.steps], rel=1e-5)
    assert view.metric("gradients/norm_clipped").values == pytest.approx(np.full(len(norms), 0.01), rel=1e-3)


def test_each_parameter_and_module_is_recorded(tmp_path: Path) -> None:
    """Norms, ratios and histograms by name; units of the rectifier."""
    _fit(BarographCallback(quiet=True), tmp_path)
    (view,) = barograph.open().runs()
    keys = set(view.metrics())
    assert {"weights/first.weight/norm", "gradients/second.bias/norm", "updates/first.weight/ratio"} <= keys
    assert {"activations/rectifier/zero_fraction", "activations/rectifier/dead_units"} <= keys
    histogram = view.histogram("gradients/first.weight")
    assert histogram.counts.sum(axis=1) == pytest.approx(np.full(len(histogram), 128))


def test_it_can_be_switched_off_and_tuned(tmp_path: Path) -> None:
    """watch=False records none of it; options reach the watch."""
    _fit(BarographCallback(quiet=True, watch=False, name="off"), tmp_path)
    _fit(
        BarographCallback(quiet=True, watch={"activations": False, "log_every": 5, "first_steps": 0}, name="on"),
        tmp_path,
    )
    off, on = barograph.open().run("off").metrics(), barograph.open().run("on").metrics()
    assert not any(key.startswith(("weights/", "gradients/")) for key in off)
    assert any(key.startswith("gradients/") for key in on)
    assert not any(key.startswith("activations/") for key in on)


def test_the_module_keeps_no_hook_of_ours(tmp_path: Path) -> None:
    """After the fit nothing is left on modules and parameters."""
    module = _fit(BarographCallback(quiet=True), tmp_path)
    assert all(not one._forward_hooks for one in module.modules())
    assert all(not one._post_accumulate_grad_hooks for one in module.parameters())


def test_weights_are_the_same_to_the_bit(tmp_path: Path) -> None:
    """Looking changes nothing."""
    with_it = _fit(BarographCallback(quiet=True), tmp_path, accumulate_grad_batches=2)
    without = _fit(None, tmp_path, accumulate_grad_batches=2)
    for one, other in zip(with_it.parameters(), without.parameters(), strict=True):
        assert torch.equal(one, other)
