"""The Lightning integration in two real processes: one run, a writer for each rank, nothing twice, nobody waiting."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import barograph
from barograph.journal.reader import read_journal
from barograph.reading import RunView

_TIMEOUT_S = 300  # each rank imports torch and Lightning for itself

_SCRIPT = """
import sys
import lightning as L
import torch
from torch.utils.data import DataLoader, TensorDataset
import barograph
from barograph.attachment import Attachment
from barograph.integrations.lightning import BarographCallback, BarographLogger


class Net(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.save_hyperparameters({"width": 4})
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, batch_idx):
        loss = self.layer(batch[0]).square().mean()
        self.log("train/loss", loss)
        self.log("train/everywhere", loss, on_step=False, on_epoch=True, sync_dist=True)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", self.layer(batch[0]).square().mean(), sync_dist=True)

    def test_step(self, batch, batch_idx):
        self.log("test/loss", self.layer(batch[0]).square().mean(), sync_dist=True)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def loader():
    return DataLoader(TensorDataset(torch.ones(64, 4)), 8)


def trainer(strategy, callback, logger=False):
    return L.Trainer(
        max_epochs=2,
        accelerator="cpu",
        devices=2,
        strategy=strategy,
        callbacks=[callback, L.pytorch.callbacks.EarlyStopping("val/loss", patience=9)],
        logger=logger,
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
"""

_DDP = """
class Refused(Attachment):
    def begin(self, *_, rank=None, **__):
        if rank == 0:
            raise OSError("no run on this rank")
        return super().begin(rank=rank, **__)


if __name__ == "__main__":
    broken = BarographCallback()
    broken.attachment = Refused()
    trainer("ddp", broken).fit(Net(), loader(), loader())

    one = trainer("ddp", BarographCallback(project="both"), BarographLogger())
    net = Net()
    one.fit(net, loader(), loader())
    one.test(net, loader(), verbose=False)
"""

_OPENED = """
class Labelled(Net):
    def validation_step(self, batch, batch_idx):
        self.log("val/loss", self.layer(batch[0]).square().mean(), sync_dist=True)
        return {"logits": self.layer(batch[0]), "labels": torch.full((len(batch[0]),), 2.0)}


if __name__ == "__main__":
    with barograph.init(name="opened by the script", quiet=True) as run:
        callback = BarographCallback(every_rank=True, log_predictions=5, flops=True)
        trainer("ddp", callback).fit(Labelled(), loader(), loader())
        run.log({"own": run.rank}, step=99)
"""

_SHARDED = """
from lightning.pytorch.strategies import ModelParallelStrategy
from torch.distributed.fsdp import fully_shard


class Sharded(Net):
    def configure_model(self):
        self.layer = torch.nn.Linear(4, 2)
        fully_shard(self.layer, mesh=self.device_mesh["data_parallel"])


if __name__ == "__main__":
    shards = ModelParallelStrategy(data_parallel_size=2, tensor_parallel_size=1)
    trainer(shards, BarographCallback(flops=True)).fit(Sharded(), loader(), loader())
"""

_SPAWN = """
if __name__ == "__main__":
    with barograph.init(name="opened before"):
        callback = BarographCallback()
        trainer("ddp_spawn", callback).fit(Net(), loader(), loader())
        assert callback.view().name == "opened before"
"""


def _run_script(text: str, folder: Path, store: Path) -> RunView:
    """The only run that the script leaves."""
    script = folder / "train.py"
    script.write_text(_SCRIPT + text)
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        env={**os.environ, "BAROGRAPH_STORE": str(store)},
        timeout=_TIMEOUT_S,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (view,) = barograph.open(store).runs()
    return view


def _check_fit(view: RunView, strategy: str = "DDPStrategy") -> None:
    assert view.config["trainer"]["strategy"] == strategy
    assert view.status == "finished"
    assert view.attempts == [1]
    assert view.config["trainer"]["world_size"] == 2
    for key, steps in {
        "train/loss": [0, 1, 2, 3, 4, 5, 6, 7],
        "train/everywhere": [3, 7],
        "val/loss": [3, 7],
        "lr/sgd": [0, 1, 2, 3, 4, 5, 6, 7],
    }.items():
        assert view.metric(key, rank=0).steps.tolist() == steps, key
        assert view.metric(key, rank=1).steps.tolist() == [], key
    for rank in (0, 1):
        assert view.metric("time/step_s", rank=rank).steps.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert view.metric("samples").values.tolist()[-1] == 128
    assert len(view.events("fit_start")) == len(view.events("fit_end")) == 1


def test_ddp_is_one_run_and_nobody_waits(tmp_path: Path, store: Path) -> None:
    """Processes that Lightning starts agree on a run, and train on without one where rank 0 cannot make it."""
    view = _run_script(_DDP, tmp_path, store)
    _check_fit(view)
    assert view.metric("test/loss", rank=0).steps.tolist() == [8]
    assert view.metric("test/loss", rank=1).steps.tolist() == []
    assert view.project == "both"
    assert view.config["hyperparameters"] == {"width": 4}
    headers = [read_journal(path).header or {} for path in (view.path / "journals").iterdir()]
    assert {(header["rank"], header["world"]) for header in headers} == {(0, 2), (1, 2)}


def test_a_run_that_the_script_opens_is_one_on_all_ranks(tmp_path: Path, store: Path) -> None:
    """Lightning starts the script again for the other ranks, and their init() finds the run of the first."""
    view = _run_script(_OPENED, tmp_path, store)
    assert view.name == "opened by the script"
    assert view.status == "finished"
    assert [view.metric("own", rank=rank).values.tolist() for rank in (0, 1)] == [[0], [1]]
    assert len(list((view.path / "journals").iterdir())) == 2
    (counted,) = view.events("flops_counted")
    assert counted.data["flops"] == 2 * 8 * 4 * 2  # one layer, by the rows of one rank
    for rank in (0, 1):  # each with its own rows, as asked
        assert view.metric("train/loss", rank=rank).steps.tolist() == list(range(8))
        assert view.metric("val/rows", rank=rank).values.tolist() == [32, 32]
        assert view.metric("throughput/flops_per_s", rank=rank).steps.tolist() == list(range(8))
    for table in view.tables("predictions/val"):
        assert [row[0] for row in table.rows] == [0, 2, 4, 6, 8]
    assert len(view.tables("predictions/val")) == 2
    assert [one.name for one in view.datasets()] == ["train", "val"]


@pytest.mark.skipif(os.name != "posix", reason="gloo with spawned processes is tested on Linux")
def test_spawned_processes_write_to_the_open_run(tmp_path: Path, store: Path) -> None:
    """The callback travels to them as a copy and still does not make another run."""
    view = _run_script(_SPAWN, tmp_path, store)
    _check_fit(view)
    assert view.name == "opened before"


def test_shards_of_a_model_are_put_together(tmp_path: Path, store: Path) -> None:
    """Each process looks into its part of the weights (FSDP2), and a reader sees the whole."""
    view = _run_script(_SHARDED, tmp_path, store)
    _check_fit(view, strategy="ModelParallelStrategy")
    (counted,) = view.events("flops_counted")
    assert counted.data["flops"] == 2 * 8 * 4 * 2 * 2
    for key in ("weights/layer.weight", "gradients/layer.weight"):
        counts = view.histogram(key).counts.sum(axis=1)
        assert len(counts) > 0
        assert counts == pytest.approx([8.0] * len(counts))
