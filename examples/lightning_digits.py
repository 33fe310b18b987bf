"""Read handwritten digits with Lightning: a small convolutional network, a schedule, early stopping, checkpoints."""

import tempfile

import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from barograph.integrations.lightning import BarographCallback


class Digits(L.LightningDataModule):
    """The 1,797 pictures of 8 x 8 pixels that come with scikit-learn."""

    def __init__(self, batch_size: int = 128, seed: int = 0) -> None:
        super().__init__()
        self.save_hyperparameters()

    def setup(self, stage: str) -> None:
        """Split them into 60 % to train on, 20 % to stop on and 20 % to test on."""
        pictures, labels = load_digits(return_X_y=True)
        inputs = torch.tensor(pictures / 16.0, dtype=torch.float32).reshape(-1, 1, 8, 8)
        seed = self.hparams.seed
        rest, test = train_test_split(range(len(labels)), test_size=0.2, stratify=labels, random_state=seed)
        train, valid = train_test_split(rest, test_size=0.25, stratify=labels[rest], random_state=seed)
        data = TensorDataset(inputs, torch.tensor(labels))
        self.train, self.valid, self.test = (torch.utils.data.Subset(data, part) for part in (train, valid, test))

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train, self.hparams.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.valid, 256)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(self.test, 256)


class Reader(L.LightningModule):
    """Two convolutions and a linear layer."""

    def __init__(self, channels: int = 16, dropout: float = 0.2, lr: float = 3e-3, weight_decay: float = 1e-2) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layers = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(2 * channels * 16, 10),
        )

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.layers(pictures)

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        return self._score("train", batch)

    def validation_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        self._score("val", batch)

    def test_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        self._score("test", batch)

    def configure_optimizers(self) -> dict:
        optimizer = torch.optim.AdamW(self.parameters(), self.hparams.lr, weight_decay=self.hparams.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=self.trainer.max_epochs)
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def _score(self, split: str, batch: list[torch.Tensor]) -> torch.Tensor:
        pictures, labels = batch
        logits = self(pictures)
        loss = nn.functional.cross_entropy(logits, labels)
        self.log(f"{split}/loss", loss)
        self.log(f"{split}/accuracy", (logits.argmax(1) == labels).float().mean())
        return loss


def main() -> None:
    """Train until the validation loss stops falling, then test the best checkpoint."""
    L.seed_everything(0, verbose=False)
    with tempfile.TemporaryDirectory() as folder:
        trainer = L.Trainer(
            max_epochs=30,
            accelerator="cpu",
            log_every_n_steps=5,
            gradient_clip_val=1.0,
            callbacks=[
                BarographCallback(
                    project="digits", config={"data": {"name": "scikit-learn digits"}}, log_predictions=20
                ),
                EarlyStopping("val/loss", patience=4),
                ModelCheckpoint(monitor="val/loss"),
            ],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        trainer.fit(Reader(), datamodule=Digits())
        (scores,) = trainer.test(datamodule=Digits(), ckpt_path="best", verbose=False)
    print(f"stopped after {trainer.current_epoch} epochs, accuracy on the test set {scores['test/accuracy']:.3f}")


if __name__ == "__main__":
    main()
