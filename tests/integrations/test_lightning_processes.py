"""The Lightning integration in two processes for real: one run, a writer for each rank, nothing twice, nobody waiting."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import barograph
from barograph.journal.reader import read_journal
from barograph.reading import RunView

_TIMEOUT_S = 300  # each rank imports torch and Lightning for itself

_SCRIPT = '''
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
'''

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

_SPAWN = """
if __name__ == "__main__":
    with barograph.init(name="opened before"):
        one = trainer("ddp_spawn", BarographCallback())
        net = Net()
        one.fit(net, loader(), loader())
        one.test(net, loader(), verbose=False)
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


def _check(view: RunView, test_step: int) -> None:
    assert view.status == "finished"
    assert view.attempts == [1]
    assert view.config["trainer"]["world_size"] == 2
    for key, steps in {
        "train/loss": [0, 1, 2, 3, 4, 5, 6, 7],
        "train/everywhere": [3, 7],
        "val/loss": [3, 7],
        "test/loss": [test_step],
        "lr/sgd": [0, 1, 2, 3, 4, 5, 6, 7],
    }.items():
        assert view.metric(key, rank=0).steps.tolist() == steps, key
        assert view.metric(key, rank=1).steps.tolist() == [], key
    for rank in (0, 1):
        assert view.metric("time/step_s", rank=rank).steps.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert view.metric("samples").values.tolist()[-1] == 128
    names = [event.name for event in view.events()]
    assert names == ["fit_start", "fit_end", "test_end"]


def test_ddp_is_one_run_and_nobody_waits(tmp_path: Path, store: Path) -> None:
    """Processes that Lightning starts agree on a run, and train on without one where rank 0 cannot make it."""
    view = _run_script(_DDP, tmp_path, store)
    _check(view, test_step=8)
    assert view.project == "both"
    assert view.config["hyperparameters"] == {"width": 4}
    headers = [read_journal(path).header or {} for path in (view.path / "journals").iterdir()]
    assert {(header["rank"], header["world"]) for header in headers} == {(0, 2), (1, 2)}


@pytest.mark.skipif(os.name != "posix", reason="gloo with spawned processes is tested on Linux")
def test_spawned_processes_write_to_the_open_run(tmp_path: Path, store: Path) -> None:
    """The callback travels to them as a copy and still does not make another run."""
    view = _run_script(_SPAWN, tmp_path, store)
    # What the workers have counted does not come back to the trainer in the main process, which tests from 0 again.
    _check(view, test_step=0)
    assert view.name == "opened before"
