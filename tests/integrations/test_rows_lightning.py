"""Whatever a Lightning module is like, its training is the same to the bit, and what it came to is told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import barograph
from barograph.integrations.lightning import BarographCallback

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore::FutureWarning")


class _Images(L.LightningModule):
    """Convolution, batch normalisation and dropout; two groups of parameters; the step returns its predictions."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.GELU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(48, 3)
        )

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, Any]:
        preds = self.net(batch[0])
        return {"loss": cross_entropy(preds, batch[1]), "preds": preds}

    def validation_step(self, batch: Any, batch_idx: int) -> dict[str, Any]:
        return self.training_step(batch, batch_idx)

    def configure_optimizers(self) -> Any:
        groups = [{"params": self.net[:3].parameters(), "lr": 0.1}, {"params": self.net[5].parameters()}]
        optimizer = torch.optim.SGD(groups, lr=0.01, momentum=0.9, weight_decay=1e-3)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]


class _Series(L.LightningModule):
    """A recurrent network on batches that are dictionaries, called layer by layer."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.out = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        said: torch.Tensor = self.out(self.rnn(x)[0][:, -1])[:, 0]
        return said

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return mse_loss(self(batch["x"]), batch["y"])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.training_step(batch, batch_idx))

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), 0.01)


class _Rivals(L.LightningModule):
    """Two optimisers by hand, clipped by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.maker, self.judge = nn.Linear(2, 2), nn.Linear(2, 1)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        for optimizer, sign in zip(self.optimizers(), (1, -1), strict=True):  # type: ignore[arg-type]  # two of them
            optimizer.zero_grad()
            self.manual_backward(sign * self.judge(self.maker(batch[0])).mean())
            self.clip_gradients(optimizer, 0.1, "norm")
            optimizer.step()

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.maker.parameters()), torch.optim.SGD(self.judge.parameters(), 0.1)


class _Made(Dataset[Any]):
    """Rows that are made when they are asked for."""

    def __len__(self) -> int:
        return 24

    def __getitem__(self, place: int) -> Any:
        x = torch.randn(4, 3, generator=torch.Generator().manual_seed(place))
        return {"x": x, "y": x.sum()}


class _Stream(IterableDataset[Any]):
    """The same without a length."""

    def __iter__(self) -> Any:
        return (_Made()[place] for place in range(24))


def _images() -> list[DataLoader[Any]]:
    data = TensorDataset(torch.randn(24, 1, 6, 6), torch.randint(0, 3, (24,)))
    return [DataLoader(data, 4, shuffle=True), DataLoader(data, 7)]


_CASES: dict[str, tuple[type[L.LightningModule], Callable[[], list[DataLoader[Any]]], dict[str, Any], set[str]]] = {
    "images": (_Images, _images, {"accumulate_grad_batches": 2, "gradient_clip_val": 0.1}, {"accuracy", "f1"}),
    "series": (_Series, lambda: [DataLoader(_Made(), 8, shuffle=True), DataLoader(_Made(), 5)], {}, {"mae", "r2"}),
    "stream": (_Series, lambda: [DataLoader(_Stream(), 8), DataLoader(_Stream(), 5)],
               {"precision": "bf16-mixed", "val_check_interval": 2}, {"mse"}),
    "rivals": (_Rivals, lambda: [DataLoader(TensorDataset(torch.randn(16, 2)), 4, shuffle=True)], {}, set()),
}  # fmt: skip


def _train(case: str, callbacks: list[Any], folder: Path) -> list[torch.Tensor]:
    kind, loaders, settings, _ = _CASES[case]
    L.seed_everything(2, verbose=False)
    module = kind()
    trainer = L.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, default_root_dir=folder, callbacks=callbacks, log_every_n_steps=1, **settings,
    )  # fmt: skip
    trainer.fit(module, *loaders())
    return [*module.state_dict().values(), torch.rand(3)]


@pytest.mark.parametrize("case", _CASES)
def test_training_is_the_same_to_the_bit(case: str, tmp_path: Path) -> None:
    """Weights, buffers and what is drawn next, with everything on that can be asked for; the results are there."""
    asked = BarographCallback(quiet=True, log_predictions=3)
    recorded = _train(case, [asked], tmp_path)
    for one, other in zip(recorded, _train(case, [], tmp_path), strict=True):
        assert torch.equal(one, other)
    (view,) = barograph.open().runs()
    assert {f"val/{figure}" for figure in _CASES[case][3]} <= set(view.metrics())
    assert view.status == "finished"
    assert all(len(table.rows) == 3 for table in view.tables("predictions/val"))
