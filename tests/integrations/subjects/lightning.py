"""Lightning answers the conformance questions: a small network on seeded numbers, trained for a few batches."""

import tempfile
from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader, TensorDataset

from barograph.integrations.lightning import BarographCallback


class _Net(L.LightningModule):
    """Dropout, so that a random state that was touched would show in the weights."""

    def __init__(self, error: BaseException | None = None) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Dropout(0.5), torch.nn.Linear(16, 2)
        )
        self.error = error

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the two classes."""
        scores: torch.Tensor = self.layers(x)
        return scores

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        """Log a loss; raise the user's error in the middle of the second epoch."""
        if self.error is not None and self.current_epoch == 1 and batch_idx == 1:
            raise self.error
        loss = self._loss(batch)
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Log a loss."""
        self.log("val/loss", self._loss(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=1e-2)

    def _loss(self, batch: Any) -> torch.Tensor:
        x, y = batch
        return torch.nn.functional.cross_entropy(self(x), y)


class _Subject:
    name = "lightning"
    set_by_framework = frozenset({"log", "log_dict"})

    def __init__(self) -> None:
        self.hooks = [
            "setup",
            "on_fit_start",
            "on_train_start",
            "on_train_epoch_start",
            "on_sanity_check_start",
            "on_before_optimizer_step",
            "on_train_batch_end",
            "on_train_epoch_end",
            "on_validation_start",
            "on_validation_end",
            "on_save_checkpoint",
            "_on_logged",
            "_on_saved",
            "on_fit_end",
            "teardown",
        ]

    def callback(self, **arguments: Any) -> BarographCallback:
        """A fresh callback."""
        return BarographCallback(**arguments)

    def train(self, callback: BarographCallback | list[Any] | None, *, epochs: int = 2) -> bytes:
        """The weights after a seeded fit."""
        return self._fit(callback, epochs, None)

    def train_failing(self, callback: BarographCallback | None, error: BaseException) -> None:
        """The same fit, ended by the user's error."""
        self._fit(callback, 2, error)

    def _fit(self, callback: BarographCallback | list[Any] | None, epochs: int, error: BaseException | None) -> bytes:
        L.seed_everything(3, verbose=False)
        net = _Net(error)
        data = TensorDataset(torch.randn(32, 8), torch.randint(0, 2, (32,)))
        with tempfile.TemporaryDirectory() as folder:
            trainer = L.Trainer(
                max_epochs=epochs,
                accelerator="cpu",
                logger=False,
                callbacks=callback,
                log_every_n_steps=1,
                enable_progress_bar=False,
                enable_model_summary=False,
                default_root_dir=folder,
            )
            trainer.fit(net, DataLoader(data, 8, shuffle=True), DataLoader(data, 16))
        return b"".join(value.numpy().tobytes() for value in net.state_dict().values())


SUBJECT = _Subject()
