"""Lightning: floating point operations are counted to the last one, and nothing of the training changes for it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import barograph
from barograph.integrations.lightning import BarographCallback
from barograph.reading import RunView

pytestmark = [
    # advice on workers and on the length of these tiny epochs
    pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning"),
    # what Lightning calls of torch's pytree and schedulers
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*"),
]

Fit = Callable[..., Any]


class _Net(L.LightningModule):
    """Some layers, and the mean square of what they give as the loss."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.layers(batch[0]).square().mean()
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=0.01)


def _loader(*shape: int, rows: int = 20) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(5)
    return DataLoader(TensorDataset(torch.rand(rows, *shape, generator=generator)), batch_size=8)


@pytest.fixture
def trainer(tmp_path: Path) -> Fit:
    """A Trainer that is quick and quiet, with these settings."""

    def make(**settings: Any) -> Any:
        defaults = {
            "max_epochs": 1,
            "accelerator": "cpu",
            "logger": False,
            "log_every_n_steps": 1,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": False,
            "default_root_dir": tmp_path / "root",
        }
        return L.Trainer(**{**defaults, **settings})

    return make


def _only_run(store: Path) -> RunView:
    (view,) = barograph.open(store).runs()
    return view


def _event(view: RunView, name: str) -> dict[str, Any]:
    (event,) = view.events(name)
    return event.data


@pytest.mark.parametrize("manual", [False, True])
def test_a_linear_model_costs_what_the_formula_says(store: Path, trainer: Fit, manual: bool) -> None:
    """2 x batch x in x out for the outputs, the weights' gradients and, but for the first layer, the inputs'."""

    class Net(_Net):
        def __init__(self, *layers: nn.Module) -> None:
            super().__init__(*layers)
            self.automatic_optimization = not manual

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = super().training_step(batch, batch_idx)
            if manual:
                self.optimizers().zero_grad()
                self.manual_backward(loss)
                self.optimizers().step()
            return loss

    trainer(callbacks=BarographCallback(flops=True)).fit(Net(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), _loader(6))
    view = _only_run(store)
    counted = _event(view, "flops_counted")
    assert counted["flops"] == 2 * 8 * 6 * 5 * 2 + 2 * 8 * 5 * 3 * 3
    assert (counted["samples"], counted["device"], counted["precision"], counted["peak"]) == (8, "cpu", "32", None)
    assert view.metric("throughput/flops_per_s").steps.tolist() == [0, 1, 2]
    assert "throughput/mfu" not in view.metrics()


def test_the_rate_goes_with_the_samples(store: Path, trainer: Fit) -> None:
    """A smaller last batch is taken for as much less."""
    trainer(callbacks=BarographCallback(flops=True)).fit(_Net(nn.Linear(6, 5)), _loader(6))
    view = _only_run(store)
    rates, samples = (view.metric(f"throughput/{name}_per_s").values for name in ("flops", "samples"))
    assert rates / samples == pytest.approx([2 * 6 * 5 * 2] * 3)


def test_nothing_is_counted_unless_asked_for(store: Path, trainer: Fit) -> None:
    """The default leaves no trace."""
    trainer(callbacks=BarographCallback()).fit(_Net(nn.Linear(6, 5)), _loader(6))
    view = _only_run(store)
    assert not view.events("flops_counted")
    assert "throughput/flops_per_s" not in view.metrics()


def test_the_share_of_a_known_peak_is_recorded(store: Path, trainer: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the rate, where the device's data sheet is known."""
    monkeypatch.setattr("barograph.integrations.lightning.flops.peak_of", lambda device, precision: 1e12)
    trainer(callbacks=BarographCallback(flops=True)).fit(_Net(nn.Linear(6, 5)), _loader(6))
    view = _only_run(store)
    rates = view.metric("throughput/flops_per_s").values
    assert view.metric("throughput/mfu").values == pytest.approx(rates / 1e12)


class _Rows(nn.Module):
    def __init__(self, reduce: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.reduce = reduce

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.reduce(inputs)


class _Last(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 4, batch_first=True, dropout=0.2, num_layers=2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        last: torch.Tensor = self.lstm(inputs)[0][:, -1]
        return last


_MODELS: dict[str, tuple[Callable[[], list[nn.Module]], tuple[int, ...], str | None]] = {
    "convolution": (
        lambda: [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.3)],
        (3, 8, 8),
        None,
    ),
    "attention": (
        lambda: [nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True), nn.LayerNorm(6), nn.GELU()],
        (5, 6),
        None,
    ),
    "recurrent": (lambda: [_Last()], (5, 6), "no formula"),
    "product": (lambda: [nn.Linear(6, 6), _Rows(lambda one: one.prod(1))], (6,), "prod"),
    "elementwise": (lambda: [nn.LayerNorm(6)], (6,), "no operations"),
}


@pytest.mark.parametrize("kind", _MODELS)
def test_training_is_the_same_to_the_bit(store: Path, trainer: Fit, kind: str) -> None:
    """With its random numbers; what cannot be counted, or only by changing it, is told."""
    layers, shape, reason = _MODELS[kind]
    weights = []
    for callback in (BarographCallback(flops=True), None):
        L.seed_everything(3, verbose=False)
        net = _Net(*layers())
        trainer(callbacks=callback, max_epochs=2).fit(net, _loader(*shape))
        weights.append(torch.cat([one.detach().flatten() for one in net.parameters()]))
    assert torch.equal(*weights)
    view = _only_run(store)
    if reason is None:
        assert _event(view, "flops_counted")["flops"] > 0
    else:
        assert reason in _event(view, "flops_left_out")["reason"]
        assert "throughput/flops_per_s" not in view.metrics()


@pytest.mark.parametrize("kind", ["module", "layer", "function"])
@pytest.mark.filterwarnings("ignore:.*not a leaf Tensor.*")  # which Dynamo asks for its gradient
def test_what_is_compiled_is_not_counted(store: Path, trainer: Fit, kind: str) -> None:
    """It trains as it does without us, and an event says why there are no figures."""

    class Net(_Net):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.loss(self.layers(batch[0]))  # of self.log() Dynamo makes nothing

        def loss(self, outputs: torch.Tensor) -> Any:
            return compiled_loss(outputs) if kind == "function" else outputs.square().mean()

    compiled_loss = torch.compile(lambda outputs: outputs.square().mean(), backend="eager", fullgraph=True)
    compiled: Any = Net(nn.Linear(6, 5))
    if kind == "module":
        compiled = torch.compile(compiled, backend="eager", fullgraph=True)
    if kind == "layer":
        compiled.layers = torch.compile(compiled.layers, backend="eager", fullgraph=True)
    trainer(callbacks=BarographCallback(flops=True)).fit(compiled, _loader(6))
    view = _only_run(store)
    assert "torch.compile" in _event(view, "flops_left_out")["reason"]
    assert view.status == "finished"


@pytest.mark.filterwarnings("ignore:.*returned `None`.*")
def test_a_step_without_a_loss_is_not_taken_for_the_others(store: Path, trainer: Fit) -> None:
    """The next batch is counted then."""

    class Net(_Net):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = super().training_step(batch, batch_idx)
            return None if batch_idx == 0 else loss

    trainer(callbacks=BarographCallback(flops=True)).fit(Net(nn.Linear(6, 5)), _loader(6))
    assert _event(_only_run(store), "flops_counted")["flops"] == 2 * 8 * 6 * 5 * 2


@pytest.mark.parametrize("way", ["fails", "is skipped"])
def test_a_batch_that_is_not_finished_leaves_nothing_behind(store: Path, trainer: Fit, way: str) -> None:
    """Not counted, and no mode is left on."""
    from torch.utils._python_dispatch import _get_current_dispatch_mode

    class Net(_Net):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
            return -1 if way == "is skipped" and self.current_epoch == 0 else None

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            assert way != "fails", "on purpose"
            return super().training_step(batch, batch_idx)

        def on_train_epoch_end(self) -> None:
            assert _get_current_dispatch_mode() is None

    training = trainer(callbacks=BarographCallback(flops=True), max_epochs=2)
    if way == "fails":
        with pytest.raises(AssertionError, match="on purpose"):
            training.fit(Net(nn.Linear(6, 5)), _loader(6))
        assert not _only_run(store).events("flops_counted")
    else:
        training.fit(Net(nn.Linear(6, 5)), _loader(6))
        assert len(_only_run(store).events("flops_counted")) == 1
    assert _get_current_dispatch_mode() is None
