"""Lightning: learning curves, by training again on shares of the data, without a trace in what the user has."""

import copy
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset, WeightedRandomSampler

import barograph
from barograph.integrations.lightning import BarographCallback
from barograph.reading import RunView

pytestmark = [
    # advice on workers and on the length of these tiny epochs
    pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*"),
]

Fit = Callable[..., Any]


def _numbers(rows: int = 40) -> TensorDataset:
    draw = torch.Generator().manual_seed(5)
    inputs = torch.randn(rows, 4, generator=draw)
    return TensorDataset(inputs, (inputs[:, 0] > 0).long())


class _Net(L.LightningModule):
    """Two classes, with dropout and a shuffled loader, so that a random state that was touched would show."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2))

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = nn.functional.cross_entropy(self.layers(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", nn.functional.cross_entropy(self.layers(batch[0]), batch[1]))

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=0.05)


@pytest.fixture
def trainer(tmp_path: Path) -> Fit:
    """A Trainer that is quick and quiet, with these settings."""

    def make(**settings: Any) -> Any:
        defaults = {
            "max_epochs": 2,
            "accelerator": "cpu",
            "logger": False,
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


def _fit(make: Fit, callback: Any, net: L.LightningModule | None = None, data: Any = None, **settings: Any) -> Any:
    """A seeded fit; the trainer."""
    L.seed_everything(3, verbose=False)
    net = _Net() if net is None else net
    train = data if isinstance(data, DataLoader) else DataLoader(data or _numbers(), 8, shuffle=True)
    one = make(callbacks=callback, **settings)
    one.fit(net, train, DataLoader(_numbers(16), 8))
    return one


def test_scores_over_the_amount_of_data_are_those_of_trainings_on_it(store: Path, trainer: Fit) -> None:
    """Each share is trained on from the beginning; the last point is the fit itself."""
    whole = _fit(trainer, BarographCallback(learning_curve=(0.5, 0.1)))
    points = _only_run(store).metric("learning_curve/val/loss")
    assert sorted(points.steps.tolist()) == [4, 20, 40]
    scores = dict(zip(points.steps.tolist(), points.values.tolist(), strict=True))
    assert scores[40] == float(whole.callback_metrics["val_loss"])
    half = Subset(_numbers(), np.linspace(0, 39, 20).astype(int).tolist())
    assert scores[20] == float(_fit(trainer, None, data=half).callback_metrics["val_loss"])
    assert [key for key in _only_run(store).metrics() if key.startswith("learning_curve/")] == [
        "learning_curve/val/loss"
    ]


def test_each_number_of_rows_is_trained_on_once(store: Path, trainer: Fit) -> None:
    """Shares of few rows may come to the same number of them, or to all."""
    _fit(trainer, BarographCallback(learning_curve=(0.1, 0.2, 0.5, 0.9)), data=_numbers(3))
    assert _only_run(store).metric("learning_curve/val/loss").steps.tolist() == [1, 2, 3]


def _traces(make: Fit, callback: Any) -> tuple[Any, ...]:
    """What a training leaves, and what is drawn after it."""
    L.seed_everything(3, verbose=False)
    net, draw = _Net(), torch.Generator().manual_seed(9)
    loader = DataLoader(_numbers(), 8, shuffle=True, generator=draw)
    one = make(callbacks=callback)
    one.fit(net, loader, DataLoader(_numbers(16), 8))
    after = random.random(), np.random.rand(), torch.rand(3).tolist(), torch.rand(3, generator=draw).tolist()
    one.fit_loop.max_epochs = 3
    one.fit(net, loader, DataLoader(_numbers(16), 8))
    weights = [value.tolist() for value in net.state_dict().values()]
    return after, weights, one.global_step, one.current_epoch, net.trainer is one, sorted(vars(net))


def test_nothing_that_the_user_has_is_touched(store: Path, trainer: Fit) -> None:
    """Generators, weights of this fit and of the next, trainer and module are those of a training without us."""
    assert _traces(trainer, BarographCallback(learning_curve=(0.5,))) == _traces(trainer, None)
    assert _only_run(store).status == "finished"


class _Drawing(Dataset[Any]):
    """Rows with noise from a generator of its own, and a count of them."""

    def __init__(self) -> None:
        self.numbers, self.draw, self.asked = _numbers().tensors, np.random.default_rng(0), 0

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> Any:
        self.asked += 1
        return self.numbers[0][index] + float(self.draw.normal()), self.numbers[1][index]

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        other = copy.copy(self)
        other.draw = copy.deepcopy(self.draw)
        assert id(self.numbers) not in memo  # but the tensors in it, which are not copied
        assert all(id(one) in memo for one in self.numbers)
        return other


def test_a_data_set_that_draws_numbers_goes_on_where_it_was(store: Path, trainer: Fit) -> None:
    """It is copied, but for its tensors."""
    data, without = _Drawing(), _Drawing()
    _fit(trainer, BarographCallback(learning_curve=(0.5,)), data=data)
    _fit(trainer, None, data=without)
    assert data.asked == without.asked
    assert data.draw.normal() == without.draw.normal()
    assert len(_only_run(store).metric("learning_curve/val/loss").steps) == 2


def test_a_curve_leaves_steps_and_logged_values_alone(store: Path, trainer: Fit) -> None:
    """What the module logs by itself meanwhile is not kept, and the next fit goes on where this one ended."""

    class Net(_Net):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            barograph.log({"mine": 1.0}, step=self.global_step)
            return super().training_step(batch, batch_idx)

    with barograph.init() as run:
        for _ in range(2):
            _fit(trainer, BarographCallback(learning_curve=(0.5,)), Net(), log_every_n_steps=1)
            last = run.last_step
        assert last == 20
    view = _only_run(store)
    assert view.metric("mine").steps.tolist() == sorted([*range(10), *range(10)])
    assert view.metric("train_loss").steps.tolist() == list(range(20))
    assert view.events("fit_end")[0].data["steps"] == 10


@pytest.mark.parametrize("limit", [{"max_epochs": -1, "max_steps": 12}, {"max_epochs": 50, "callbacks": True}])
def test_a_share_is_trained_on_as_long_as_the_fit_was(store: Path, trainer: Fit, limit: dict[str, Any]) -> None:
    """By steps if those ended it, otherwise by epochs, however the fit came to its end."""
    steps: list[int] = []

    class Net(_Net):
        def on_train_end(self) -> None:
            steps.append(self.trainer.global_step)

    class Stop(L.Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            trainer.should_stop = trainer.current_epoch == 2

    callbacks = [BarographCallback(learning_curve=(0.4,)), *([Stop()] if limit.pop("callbacks", False) else [])]
    _fit(trainer, callbacks, Net(), **limit)
    assert steps == ([12, 12] if "max_steps" in limit else [15, 6])


class _Plain(L.LightningDataModule):
    def train_dataloader(self) -> Any:
        return DataLoader(_numbers(), 8)

    def val_dataloader(self) -> Any:
        return DataLoader(_numbers(16), 8)


class _Changing(_Plain):
    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch


class _Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return zip(*_numbers().tensors, strict=True)


class _Failing(_Net):
    def on_train_start(self) -> None:
        if len(self.trainer.train_dataloader.dataset) < 40:
            raise LookupError("mine")


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("no data set of rows", {"data": DataLoader(_Stream(), 8)}),
        ("a sampler of its own", {"data": DataLoader(_numbers(), 8, sampler=WeightedRandomSampler([1.0] * 40, 40))}),
        ("there is no validation", {"limit_val_batches": 0}),
        ("a part of the data", {"limit_train_batches": 0.5}),
        ("a part of the data", {"fast_dev_run": True}),
        ("mine", {"net": _Failing()}),
    ],
)
def test_why_there_is_no_curve_is_an_event(store: Path, trainer: Fit, words: str, arguments: dict[str, Any]) -> None:
    """Instead of a wrong one, and the run has finished all the same."""
    _fit(trainer, BarographCallback(learning_curve=(0.5,)), **arguments)
    view = _only_run(store)
    (event,) = view.events("learning_curve_left_out")
    assert words in event.data["reason"]
    assert view.status == "finished"


def test_ctrl_c_in_a_curve_is_an_interruption(store: Path, trainer: Fit) -> None:
    """As in the fit itself; its end is told once."""

    class Net(_Net):
        def on_train_start(self) -> None:
            if len(self.trainer.train_dataloader.dataset) < 40:
                raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit):
            _fit(trainer, BarographCallback(learning_curve=(0.5,)), Net())
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning ignores it from then on
    view = _only_run(store)
    assert view.status == "interrupted"
    assert len(view.events("fit_end")) == 1


@pytest.mark.parametrize("changes", [True, False])
def test_a_data_module_that_changes_batches_has_no_curve(store: Path, trainer: Fit, changes: bool) -> None:
    """A plain Trainer on its loaders would not ask it; one that only makes loaders has a curve."""
    data = _Changing() if changes else _Plain()
    trainer(callbacks=BarographCallback(learning_curve=(0.5,)), max_epochs=1).fit(_Net(), datamodule=data)
    view = _only_run(store)
    assert len(view.events("learning_curve_left_out")) == changes
    assert ("learning_curve/val/loss" in view.metrics()) != changes


@pytest.mark.parametrize("shares", [(0.0,), (0.5, 1.5)])
def test_shares_that_are_none_are_refused_at_once(shares: tuple[float, ...]) -> None:
    """Before any training."""
    with pytest.raises(ValueError, match="learning_curve"):
        BarographCallback(learning_curve=shares)
