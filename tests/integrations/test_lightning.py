"""The Lightning integration in one process: what is recorded, at which step, and how a fit ends."""

import importlib
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import pytorch_lightning as PL
import torch
from lightning.pytorch.loggers.logger import DummyLogger
from torch.utils.data import DataLoader, TensorDataset

import barograph
from barograph.integrations.lightning import BarographCallback, BarographLogger
from barograph.integrations.lightning.ends import EarlyStops
from barograph.integrations.lightning.pace import count_samples
from barograph.integrations.lightning.shadow import Shadow
from barograph.reading import RunView

pytestmark = [
    # advice on workers and on the length of these tiny epochs
    pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning"),
    pytest.mark.filterwarnings("ignore::lightning_fabric.utilities.warnings.PossibleUserWarning"),
    # what Lightning calls of torch's pytree and schedulers
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*"),
]

Fit = Callable[..., Any]


def _numbers(samples: int = 32) -> TensorDataset:
    generator = torch.Generator().manual_seed(5)
    return TensorDataset(torch.randn(samples, 4, generator=generator), torch.randn(samples, 1, generator=generator))


def _loader(batch_size: int = 8, samples: int = 32) -> DataLoader[Any]:
    return DataLoader(_numbers(samples), batch_size)


class _Shared:
    """The steps of both packages' modules."""

    def __init__(self, lr: float = 0.1, width: int = 3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.hidden = torch.nn.Linear(4, width)
        self.out = torch.nn.Linear(width, 1)
        self.lr = lr

    def loss(self, batch: Any) -> torch.Tensor:
        x, y = batch
        return ((self.out(torch.tanh(self.hidden(x))) - y) ** 2).mean()

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = self.loss(batch)
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/loss", self.loss(batch))

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.log("test/loss", self.loss(batch))

    def predict_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return self.out(torch.tanh(self.hidden(batch[0])))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)


class _Net(_Shared, L.LightningModule):
    """For `import lightning`."""


class _OtherNet(_Shared, PL.LightningModule):
    """For `import pytorch_lightning`."""


_PACKAGES = [pytest.param((L, _Net), id="lightning"), pytest.param((PL, _OtherNet), id="pytorch_lightning")]


@pytest.fixture
def trainer(tmp_path: Path) -> Callable[..., Any]:
    """A Trainer that is quick and quiet, with these settings."""

    def make(package: Any = L, **settings: Any) -> Any:
        defaults = {
            "max_epochs": 2,
            "accelerator": "cpu",
            "logger": False,
            "log_every_n_steps": 1,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": False,
            "default_root_dir": tmp_path / "root",
        }
        return package.Trainer(**{**defaults, **settings})

    return make


def _only_run(store: Path) -> RunView:
    (view,) = barograph.open(store).runs()
    return view


def _event(view: RunView, name: str) -> dict[str, Any]:
    (event,) = view.events(name)
    return event.data


class _Witness(DummyLogger):
    """A logger that keeps what Lightning hands to it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, dict[str, float]]] = []

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        self.seen.append((step, dict(metrics)))


# -- what the module logs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, 3])
def test_values_are_recorded_as_lightning_hands_them_to_loggers(store: Path, trainer: Fit, every: int) -> None:
    """The same values at the same steps that any logger is given."""
    witness = _Witness()
    trainer(callbacks=[BarographCallback()], logger=witness, log_every_n_steps=every).fit(_Net(), _loader(), _loader())
    view = _only_run(store)
    for key in ("train/loss", "val/loss"):
        expected = [(step, metrics[key]) for step, metrics in witness.seen if key in metrics]
        metric = view.metric(key)
        assert list(zip(metric.steps.tolist(), metric.values.tolist(), strict=True)) == expected
        assert expected


@pytest.mark.parametrize("kit", _PACKAGES)
@pytest.mark.parametrize("in_list", [True, False], ids=["list", "bare"])
def test_it_serves_both_packages(store: Path, trainer: Fit, kit: tuple[Any, Any], in_list: bool) -> None:
    """One class is a callback of `lightning` and of `pytorch_lightning`, alone or in a list."""
    package, net = kit
    callback = BarographCallback()
    trainer(package, callbacks=[callback] if in_list else callback).fit(net(), _loader(), _loader())
    view = _only_run(store)
    assert view.status == "finished"
    assert view.metric("train/loss").steps.tolist() == list(range(8))
    assert view.config["framework"]["name"] == package.__name__


def test_the_sanity_check_is_not_recorded(store: Path, trainer: Fit) -> None:
    """What Lightning validates before the training is no validation."""
    trainer(callbacks=BarographCallback(), num_sanity_val_steps=2, max_epochs=1).fit(_Net(), _loader(), _loader())
    assert _only_run(store).metric("val/loss").steps.tolist() == [3]


def test_values_of_single_validation_batches_share_the_axis(store: Path, trainer: Fit) -> None:
    """They stand at the optimiser step that was validated, with Lightning's own count beside them."""

    class Net(_Net):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val/each", self.loss(batch), on_step=True, on_epoch=False)

    trainer(callbacks=BarographCallback()).fit(Net(), _loader(), _loader(16))
    view = _only_run(store)
    assert view.metric("val/each").steps.tolist() == [3, 3, 7, 7]
    assert view.metric("val/batch").values.tolist() == [0, 1, 2, 3]


def test_position_stands_beside_every_point(store: Path, trainer: Fit) -> None:
    """Epoch, batches and samples are there for charts over them."""
    trainer(callbacks=BarographCallback(), accumulate_grad_batches=2).fit(_Net(), _loader())
    view = _only_run(store)
    assert view.metric("train/loss").steps.tolist() == [0, 1, 2, 3]
    assert view.metric("epoch").values.tolist() == [0, 0, 1, 1]
    assert view.metric("batch").values.tolist() == [1, 3, 5, 7]
    assert view.metric("samples").values.tolist() == [16, 32, 48, 64]


def test_a_step_is_a_step_however_many_optimisers(store: Path, trainer: Fit) -> None:
    """Two optimisers under manual optimisation do not count twice, and each has its rates."""

    class Net(_Net):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            for optimizer in self.optimizers():
                optimizer.zero_grad()
                loss = self.loss(batch)
                self.manual_backward(loss)
                optimizer.step()
            self.log("train/loss", loss)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.hidden.parameters(), 0.1), torch.optim.SGD(self.out.parameters(), 0.2)

    trainer(callbacks=BarographCallback()).fit(Net(), _loader())
    view = _only_run(store)
    assert view.metric("train/loss").steps.tolist() == list(range(8))
    assert set(view.metric("lr/sgd0").values) == {0.1}
    assert set(view.metric("lr/sgd1").values) == {0.2}
    assert _event(view, "fit_end")["steps"] == 8


def test_a_metric_called_step_is_the_step(store: Path, trainer: Fit) -> None:
    """As with Lightning's loggers."""

    class Net(_Net):
        def on_train_epoch_end(self) -> None:
            self.log("step", float(self.current_epoch))
            self.log("by_epoch", 1.0)

    trainer(callbacks=BarographCallback()).fit(Net(), _loader())
    assert _only_run(store).metric("by_epoch").steps.tolist() == [0, 1]


def test_the_module_reaches_the_run(store: Path, trainer: Fit) -> None:
    """`barograph.log` and `barograph.current_run` work inside a training step."""

    class Net(_Net):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            barograph.log({"mine": batch_idx}, step=batch_idx)
            assert barograph.current_run() is callback.run
            return super().training_step(batch, batch_idx)

    callback = BarographCallback()
    trainer(callbacks=callback, max_epochs=1).fit(Net(), _loader())
    assert _only_run(store).metric("mine").steps.tolist() == [0, 1, 2, 3]


def test_values_on_a_device_are_not_waited_for(store: Path, trainer: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor that does not lie in host memory goes to the run as it is."""
    value = torch.empty((), device="meta")  # any attempt to read it raises

    class Handing(L.Callback):
        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            trainer._logger_connector.log_metrics({"far": value, "near": torch.ones(())})

    taken: list[Any] = []
    monkeypatch.setattr(barograph.Run, "log", lambda run, metrics, step=None: taken.append((metrics, step)))
    trainer(callbacks=[BarographCallback(), Handing()], max_epochs=1).fit(_Net(), _loader())
    ((metrics, step),) = taken
    assert metrics["far"] is value
    assert metrics["near"] == 1.0
    assert step == 0


# -- how it was set up, and how fast it went -------------------------------------------------------------------------


def test_the_whole_setup_is_recorded(store: Path, trainer: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hyperparameters of module and datamodule, optimisers, schedulers, loaders and every setting of the Trainer."""

    class Data(L.LightningDataModule):
        def __init__(self, share: float = 0.5) -> None:
            super().__init__()
            self.save_hyperparameters()

        def train_dataloader(self) -> Any:
            return _loader()

    class Net(_Net):
        def __init__(self, width: int) -> None:
            super().__init__(width=width)
            self.regular = torch.nn.Sequential(torch.nn.GELU(), torch.nn.Dropout(0.25))

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.AdamW(self.parameters(), lr=0.01, weight_decay=0.2)
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)]

    monkeypatch.setenv("PL_GLOBAL_SEED", "11")  # as seed_everything() does
    trainer(callbacks=BarographCallback(), gradient_clip_val=0.7, accumulate_grad_batches=2).fit(
        Net(width=5), datamodule=Data()
    )
    view = _only_run(store)
    config = view.config
    assert config["model"]["hyperparameters"] == {"lr": 0.1, "width": 5}
    assert config["model"]["parameters"] == 4 * 5 + 5 + 5 + 1
    assert config["model"]["activations"] == {"GELU": 1}
    assert config["trainer"]["seed"] == "11"
    assert config["data"]["hyperparameters"] == {"share": 0.5}
    assert config["data"]["train"]["loaders"][0]["batch_size"] == 8
    assert config["data"]["train"]["loaders"][0]["samples"] == 32
    assert config["optimizer"]["adamw"]["groups"][0]["weight_decay"] == 0.2
    assert config["scheduler"][0]["settings"]["gamma"] == 0.5
    expected = {"gradient_clip_val": 0.7, "accumulate_grad_batches": 2, "max_epochs": 2, "precision": "32-true"}
    assert config["trainer"].items() >= expected.items()
    assert config["framework"]["version"] == L.__version__
    (summary,) = view.texts("model/summary")
    assert "hidden" in (summary.text or "")
    assert "31 parameters" in (summary.text or "")


def test_rates_are_those_of_the_step(store: Path, trainer: Fit) -> None:
    """A scheduler that has moved on already does not show in the step before; groups go by their names."""

    class Net(_Net):
        def configure_optimizers(self) -> Any:
            groups = [
                {"params": self.hidden.parameters(), "name": "body", "lr": 1.0},
                {"params": self.out.parameters(), "name": "head", "lr": 8.0},
            ]
            optimizer = torch.optim.Adam(groups, betas=(0.8, 0.9))
            scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
            return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    trainer(callbacks=BarographCallback(), max_epochs=1).fit(Net(), _loader())
    view = _only_run(store)
    assert view.metric("lr/body").values.tolist() == [1.0, 0.5, 0.25, 0.125]
    assert view.metric("lr/head").values.tolist() == [8.0, 4.0, 2.0, 1.0]
    assert set(view.metric("momentum/body").values) == {0.8}
    assert set(view.metric("weight_decay/head").values) == {0.0}


def test_a_group_added_in_mid_training_is_recorded(store: Path, trainer: Fit) -> None:
    """As finetuning callbacks do."""

    class Net(_Net):
        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.hidden.parameters(), lr=0.1)

        def on_train_epoch_start(self) -> None:
            if self.current_epoch == 1:
                self.trainer.optimizers[0].add_param_group({"params": self.out.parameters(), "lr": 0.3})

    trainer(callbacks=BarographCallback()).fit(Net(), _loader())
    view = _only_run(store)
    assert view.metric("lr/sgd").steps.tolist() == [0, 1, 2, 3]
    assert view.metric("lr/group1").values.tolist() == [0.3] * 4


def test_the_wait_for_data_is_told_from_the_step(store: Path, trainer: Fit) -> None:
    """A slow data set shows in time/data_s, which is a part of time/step_s."""

    class Slow(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 8

        def __getitem__(self, index: int) -> Any:
            time.sleep(0.005)
            return torch.ones(4), torch.ones(1)

    trainer(callbacks=BarographCallback(), max_epochs=1, log_every_n_steps=2).fit(_Net(), DataLoader(Slow(), 2))
    view = _only_run(store)
    assert view.metric("time/data_s").steps.tolist() == [1, 3]
    assert (view.metric("time/data_s").values >= 0.01).all()
    assert (view.metric("time/step_s").values >= view.metric("time/data_s").values).all()
    rates = view.metric("throughput/samples_per_s").values * view.metric("time/step_s").values
    assert rates == pytest.approx([2.0, 2.0])


@pytest.mark.parametrize(
    ("batch", "samples"),
    [
        (torch.zeros(5, 2), 5),
        ([torch.zeros(5, 2), torch.zeros(5)], 5),
        ({"text": ["a", "b"], "label": torch.zeros(2)}, 2),
        ({"none": None, "x": (torch.zeros(7),)}, 7),
        (torch.zeros(()), 1),
        (None, None),
        ({}, None),
    ],
)
def test_samples_are_counted_in_any_batch(batch: Any, samples: int | None) -> None:
    """The first dimension of the first tensor, wherever it is."""
    assert count_samples(batch) == samples


# -- ends ------------------------------------------------------------------------------------------------------------


class _Worse(_Shared):
    """A validation loss that is best in epoch 1."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/loss", (2.0, 1.0, 3.0, 4.0, 5.0, 6.0)[self.current_epoch])


class _WorseNet(_Worse, L.LightningModule):
    """For `import lightning`."""


class _OtherWorseNet(_Worse, PL.LightningModule):
    """For `import pytorch_lightning`."""


class _OwnStopping(L.pytorch.callbacks.EarlyStopping):
    """A class of the user's own."""


@pytest.mark.parametrize("ours_first", [True, False])
@pytest.mark.parametrize(
    ("package", "net", "stopping"),
    [
        (L, _WorseNet, L.pytorch.callbacks.EarlyStopping),
        (PL, _OtherWorseNet, PL.callbacks.EarlyStopping),
        (L, _WorseNet, _OwnStopping),
    ],
    ids=["lightning", "pytorch_lightning", "own class"],
)
def test_early_stopping_is_an_event(
    store: Path, trainer: Fit, package: Any, net: Any, stopping: Any, ours_first: bool
) -> None:
    """Who, what it watched, the best value and its step, whichever package and wherever it stands in the list."""
    callbacks = [BarographCallback(), stopping("val/loss", patience=2, min_delta=0.1)]
    trainer(package, callbacks=callbacks if ours_first else callbacks[::-1], max_epochs=6).fit(
        net(), _loader(), _loader()
    )
    view = _only_run(store)
    event = _event(view, "early_stop")
    expected = {
        "by": stopping.__name__,
        "monitor": "val/loss",
        "best": 1.0,
        "best_step": 7,
        "best_epoch": 1,
        "wait": 2,
        "patience": 2,
        "min_delta": pytest.approx(0.1),
        "mode": "min",
        "reason": "patience_exhausted",
    }
    assert event.items() >= expected.items()
    assert _event(view, "fit_end").items() >= {"reason": "early_stop", "by": stopping.__name__, "epochs": 4}.items()
    assert view.status == "finished"


def test_a_stop_in_the_first_epoch_is_seen_and_only_once(store: Path, trainer: Fit) -> None:
    """`stopped_epoch` is 0 then, and the callback still says so in a later fit that it did not stop."""
    stopping = L.pytorch.callbacks.EarlyStopping("val/loss", stopping_threshold=10.0, patience=9)
    callback = BarographCallback()
    trainer(callbacks=[callback, stopping], max_epochs=3).fit(_WorseNet(), _loader(), _loader())
    stopping.stopping_threshold = None
    trainer(callbacks=[callback, stopping], max_epochs=1).fit(_WorseNet(), _loader(), _loader())
    view = _only_run(store)
    assert _event(view, "early_stop")["reason"] == "stopping_threshold"
    assert [event.data["reason"] for event in view.events("fit_end")] == ["early_stop", "epochs_reached"]


def test_early_stopping_without_a_reason_is_read_off_its_figures() -> None:
    """Before 2.6 Lightning's EarlyStopping does not say why it stopped."""

    class EarlyStopping:
        monitor, mode, patience, wait_count = "loss", "min", 2, 0
        check_finite, stopping_threshold, divergence_threshold = True, 0.5, 9.0
        best_score = torch.tensor(1.0)
        min_delta = -0.1

    reasons = []
    for value, wait in [(float("nan"), 0), (0.4, 0), (10.0, 0), (2.0, 2), (2.0, 1)]:
        callback = EarlyStopping()
        stops = EarlyStops([callback])
        callback.wait_count = wait
        stopped = SimpleNamespace(should_stop=True, callbacks=[], callback_metrics={"loss": torch.tensor(value)})
        reasons.append([stop["reason"] for stop in stops.fired(stopped)])
    assert reasons == [
        ["non_finite_metric"],
        ["stopping_threshold"],
        ["divergence_threshold"],
        ["patience_exhausted"],
        [],
    ]


class _StopAt(L.Callback):
    """Asks for a stop after the second batch."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 1:
            trainer.should_stop = True


class _EarlyStopOfMine(_StopAt):
    """One of the user's own, with nothing of Lightning's in it."""


class _StopOnNaN(_StopAt):
    """One of the user's own."""


class _NaNNet(_Net):
    """Its loss is no number, which does not stop Lightning."""

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        self.log("train/loss", float("nan"))
        return self.loss(batch)


@pytest.mark.parametrize(
    ("settings", "net", "reason", "by"),
    [
        ({}, _Net, "epochs_reached", None),
        ({"max_epochs": 0}, _Net, "epochs_reached", None),
        ({"max_epochs": -1, "max_steps": 3}, _Net, "max_steps", None),
        ({"max_epochs": -1, "max_time": {"milliseconds": 1}}, _Net, "max_time", "Timer"),
        ({"callbacks": [_StopAt()]}, _Net, "stopped", None),
        ({"callbacks": [_EarlyStopOfMine()]}, _Net, "early_stop", "_EarlyStopOfMine"),
        ({"callbacks": [_StopOnNaN()]}, _NaNNet, "nan", "_StopOnNaN"),
        ({"callbacks": [L.pytorch.callbacks.EarlyStopping("train/loss")]}, _NaNNet, "nan", "EarlyStopping"),
        ({"max_epochs": 3, "min_epochs": 2, "callbacks": [_StopAt()]}, _Net, "stopped", None),
    ],
)
def test_every_end_has_its_reason(
    store: Path, trainer: Fit, settings: dict[str, Any], net: Any, reason: str, by: str | None
) -> None:
    """What ended the fit, in the order in which the loop itself asks."""
    callbacks = [BarographCallback(), *settings.get("callbacks", [])]
    trainer(**{**settings, "callbacks": callbacks}).fit(net(), _loader())
    view = _only_run(store)
    assert _event(view, "fit_end").items() >= {"reason": reason, "by": by}.items()
    assert view.status == "finished"


class _Breaking(_Net):
    """Raises in the second epoch."""

    error: BaseException = ZeroDivisionError("mine")

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.current_epoch == 1 and batch_idx == 2:
            raise self.error
        return super().training_step(batch, batch_idx)


def test_an_exception_makes_a_failed_run(store: Path, trainer: Fit) -> None:
    """With its traceback and step; and the next fit is another run."""
    callback = BarographCallback()
    with pytest.raises(ZeroDivisionError):
        trainer(callbacks=callback).fit(_Breaking(), _loader())
    view = _only_run(store)
    assert view.status == "failed"
    assert view.error is not None
    assert "raise self.error" in view.error.traceback
    assert _event(view, "exception").items() >= {"type": "ZeroDivisionError", "message": "mine", "step": 6}.items()
    assert _event(view, "fit_end")["reason"] == "exception"
    trainer(callbacks=callback).fit(_Net(), _loader())
    assert len(barograph.open(store).runs()) == 2


def test_a_fit_that_fails_before_it_begins_is_recorded(store: Path, trainer: Fit) -> None:
    """For example in the user's configure_optimizers."""

    class Net(_Net):
        def configure_optimizers(self) -> Any:
            raise LookupError("mine")

    with pytest.raises(LookupError):
        trainer(callbacks=BarographCallback()).fit(Net(), _loader())
    assert _only_run(store).status == "failed"


@pytest.fixture
def _keeps_ctrl_c() -> Iterator[None]:
    """Lightning ignores SIGINT for the rest of the process once it was interrupted."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_keeps_ctrl_c")
@pytest.mark.parametrize("logger_only", [False, True])
def test_ctrl_c_is_an_interrupted_run(store: Path, trainer: Fit, logger_only: bool) -> None:
    """Lightning ends the process with 1 then and tells its loggers only "failed"."""

    class Net(_Breaking):
        error = KeyboardInterrupt()

    recorder = {"logger": BarographLogger()} if logger_only else {"callbacks": BarographCallback()}
    with pytest.raises(SystemExit):
        trainer(**recorder).fit(Net(), _loader())
    assert _only_run(store).status == "interrupted"


# -- which run -------------------------------------------------------------------------------------------------------


def test_fit_validate_test_and_predict_are_one_run(store: Path, trainer: Fit) -> None:
    """A callback's run serves all that its trainer does; an evaluation stands where the fit has come to."""
    one = trainer(callbacks=BarographCallback())
    net = _Net()
    one.fit(net, _loader(), _loader())
    one.validate(net, _loader(), verbose=False)
    one.test(net, _loader(), verbose=False)
    one.predict(net, _loader())
    view = _only_run(store)
    assert view.metric("val/loss").steps.tolist() == [3, 7, 8]
    assert view.metric("test/loss").steps.tolist() == [8]
    ends = [event.name for event in view.events() if event.name.endswith("_end")]
    assert ends == ["fit_end", "validate_end", "test_end", "predict_end"]
    assert view.status == "finished"
    assert view.config["optimizer"]["sgd"]["groups"][0]["lr"] == 0.1


def test_an_evaluation_alone_is_a_run(store: Path, trainer: Fit) -> None:
    """Without a fit before it."""
    trainer(callbacks=BarographCallback()).test(_Net(), _loader(), verbose=False)
    view = _only_run(store)
    assert view.metric("test/loss").steps.tolist() == [0]
    assert view.config["model"]["class"] == "_Net"


def test_fits_in_one_run_go_on_where_the_last_one_ended(store: Path, trainer: Fit) -> None:
    """Another trainer counts from 0 again, the same trainer goes on: neither runs into the points that are there."""
    with barograph.init():
        first = trainer(callbacks=BarographCallback(), max_epochs=1)
        net = _Net()
        first.fit(net, _loader())
        first.fit_loop.max_epochs = 2
        first.fit(net, _loader())
        second = trainer(callbacks=BarographCallback(), max_epochs=1)
        second.fit(_Net(), _loader())
        second.test(verbose=False, dataloaders=_loader(), model=_Net())
    view = _only_run(store)
    assert view.metric("train/loss").steps.tolist() == list(range(12))
    assert view.metric("test/loss").steps.tolist() == [12]
    assert [event.data["offset"] for event in view.events("fit_start")] == [0, 0, 8]


@pytest.mark.parametrize("mid_epoch", [False, True])
def test_a_checkpoint_brings_its_run_back(store: Path, trainer: Fit, tmp_path: Path, mid_epoch: bool) -> None:
    """A fit that goes on from it is another attempt of the same run, and its steps go on as Lightning counts them."""

    class Saving(L.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            if mid_epoch and trainer.global_step == 6:
                trainer.save_checkpoint(tmp_path / "kept.ckpt")

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            if not mid_epoch:
                trainer.save_checkpoint(tmp_path / "kept.ckpt")

    trainer(callbacks=[BarographCallback(), Saving()]).fit(_Net(), _loader(), _loader())
    witness = _Witness()
    trainer(callbacks=BarographCallback(), logger=witness, max_epochs=3).fit(
        _Net(), _loader(), ckpt_path=tmp_path / "kept.ckpt"
    )
    view = _only_run(store)
    assert view.attempts == [1, 2]
    steps = [step for step, metrics in witness.seen if "train/loss" in metrics]  # before 2.5 one less in mid-epoch
    assert view.metric("train/loss", attempt=2).steps.tolist() == steps
    assert steps[-1] in (10, 11)
    assert view.events("fit_start")[1].data["offset"] == 0


def test_checkpoints_are_events(store: Path, trainer: Fit, tmp_path: Path) -> None:
    """Path, monitor, score and whether it is the best; also one that the user saves."""

    class Net(_WorseNet):
        def on_train_end(self) -> None:
            self.trainer.save_checkpoint(tmp_path / "own.ckpt")

    saving = L.pytorch.callbacks.ModelCheckpoint(tmp_path, monitor="val/loss", save_top_k=-1, filename="{epoch}")
    trainer(callbacks=[BarographCallback(), saving], enable_checkpointing=True, max_epochs=3).fit(
        Net(), _loader(), _loader()
    )
    events = [event.data for event in _only_run(store).events("checkpoint")]
    names = [Path(event["path"]).name for event in events]
    assert names == ["epoch=0.ckpt", "epoch=1.ckpt", "epoch=2.ckpt", "own.ckpt"]
    assert [event["score"] for event in events] == [2.0, 1.0, 3.0, None]
    assert [event["best"] for event in events] == [True, True, False, None]
    assert events[0].items() >= {"monitor": "val/loss", "by": "ModelCheckpoint", "step": 4, "epoch": 0}.items()


def test_a_tuner_leaves_no_run(store: Path, trainer: Fit) -> None:
    """Its trials are no training."""
    one = trainer(callbacks=BarographCallback(), logger=BarographLogger())
    L.pytorch.tuner.Tuner(one).lr_find(_Net(), _loader(4, 64), num_training=10)
    assert not store.exists() or not barograph.open(store).runs()


def test_the_trials_within_a_fit_are_not_recorded(store: Path, trainer: Fit) -> None:
    """A LearningRateFinder among the callbacks tries before the fit begins."""
    finder, witness = L.pytorch.callbacks.LearningRateFinder(num_training_steps=20), _Witness()
    trainer(callbacks=[BarographCallback(), finder], logger=witness, max_epochs=1).fit(_Net(), _loader(2, 64))
    view = _only_run(store)
    assert view.metric("train/loss").steps.tolist() == [step for step, _ in witness.seen]
    assert len(view.events("fit_start")) == 1


# -- leaving no trace ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"fast_dev_run": True},
        {"fast_dev_run": 2},
        {"overfit_batches": 1},
        {"limit_train_batches": 2, "limit_val_batches": 1},
        {"limit_train_batches": 0},
        {"val_check_interval": 2},
        {"precision": "bf16-mixed"},
        {"gradient_clip_val": 0.1},
        {"profiler": "simple"},
        {"detect_anomaly": True},
    ],
    ids=str,
)
def test_no_setting_of_the_trainer_is_in_the_way(store: Path, trainer: Fit, settings: dict[str, Any]) -> None:
    """The fit is recorded and ends as it does without us."""
    trainer(callbacks=BarographCallback(), **settings).fit(_Net(), _loader(), _loader())
    view = _only_run(store)
    assert view.status == "finished"
    assert view.events("fit_end")


def test_barebones_costs_little_and_ends_well(store: Path, tmp_path: Path) -> None:
    """Lightning logs nothing then; there is the position at the end of each epoch, and the end."""
    trainer = L.Trainer(barebones=True, max_epochs=2, accelerator="cpu", callbacks=BarographCallback())
    with pytest.warns(UserWarning, match="barebones"):
        trainer.fit(_Net(), _loader())
    view = _only_run(store)
    assert view.metric("epoch").values.tolist() == [0, 1]
    assert view.metric("lr/sgd").steps.tolist() == [3, 7]
    assert _event(view, "fit_end")["reason"] == "epochs_reached"


def test_the_trainer_gets_its_methods_back(trainer: Fit) -> None:
    """What is listened to without a hook is as it was after a fit, also after one that failed."""

    def shadows(one: Any) -> int:
        owners = [one, one._logger_connector, one.fit_loop.epoch_loop, one.strategy]
        return sum(isinstance(value, Shadow) for owner in owners for value in vars(owner).values())

    seen = []

    class Looking(_Breaking):
        def on_train_start(self) -> None:
            seen.append(shadows(self.trainer))

    done, failed = trainer(callbacks=BarographCallback(), max_epochs=1), trainer(callbacks=BarographCallback())
    done.fit(Looking(), _loader())
    with pytest.raises(ZeroDivisionError):
        failed.fit(Looking(), _loader())
    assert seen == [5, 5]
    assert shadows(done) == shadows(failed) == 0


def test_a_callback_does_not_carry_the_module_along(trainer: Fit) -> None:
    """Lightning hangs the module's methods on callbacks; a pickled one must stay small."""
    callback = BarographCallback()
    trainer(callbacks=callback, max_epochs=1).fit(_Net(width=50_000), _loader())
    assert len(pickle.dumps(callback)) < 10_000


# -- the logger ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kit", _PACKAGES)
def test_the_logger_records_what_it_is_handed(
    store: Path, trainer: Fit, kit: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Metrics, hyperparameters, layers and checkpoints, in a run that it makes and closes."""
    monkeypatch.chdir(tmp_path)
    package, net = kit
    logger = BarographLogger(project="digits")
    one = trainer(package, logger=logger, enable_checkpointing=True)
    one.fit(net(), _loader(), _loader())
    one.test(net(), _loader(), verbose=False)
    view = _only_run(store)
    assert view.status == "finished"
    assert view.project == "digits"
    assert view.metric("train/loss").steps.tolist() == list(range(8))
    assert view.metric("test/loss").steps.tolist() == [8]
    assert view.config["hyperparameters"] == {"lr": 0.1, "width": 3}
    assert view.texts("model/summary")
    checkpoint = view.events("checkpoint")[-1].data
    assert checkpoint["by"] == "ModelCheckpoint"
    assert Path(checkpoint["path"]).is_relative_to(tmp_path / "barograph_logs" / view.id)


@pytest.mark.parametrize("project_of", ["callback", "logger"])
def test_callback_and_logger_share_a_run(store: Path, trainer: Fit, project_of: str) -> None:
    """Nothing is recorded twice, and what a user or another callback gives the logger itself is."""

    class Net(_Net):
        def on_train_epoch_end(self) -> None:
            self.logger.log_metrics({"direct": 1.0}, step=self.current_epoch)
            self.logger.experiment.log_text("note", "from the experiment")

    callback = BarographCallback(**({"project": "p"} if project_of == "callback" else {}))
    logger = BarographLogger(**({"project": "p"} if project_of == "logger" else {}))
    rates = L.pytorch.callbacks.LearningRateMonitor("step")
    one = trainer(callbacks=[callback, rates], logger=logger)
    net = Net()
    one.fit(net, _loader(), _loader())
    one.test(net, _loader(), verbose=False)
    view = _only_run(store)
    assert view.project == "p"
    assert callback.run is logger.run
    assert view.metric("train/loss").steps.tolist() == list(range(8))
    assert view.metric("val/loss").steps.tolist() == [3, 7]
    assert view.metric("test/loss").steps.tolist() == [8]
    assert view.metric("direct").steps.tolist() == [0, 1]
    assert view.metric("lr-SGD").steps.tolist() == list(range(8))
    assert len(view.texts("note")) == 2
    assert len(view.events("fit_end")) == 1


def test_the_logger_takes_what_other_loggers_take(store: Path, tmp_path: Path) -> None:
    """Pictures, tables, texts, metrics beside hyperparameters; before, between and after fits."""
    logger = BarographLogger()
    logger.log_hyperparams({"a": 1}, {"score": 0.5})
    logger.log_image("sample", [torch.zeros(4, 4).numpy()] * 2, step=3)
    logger.log_table("words", columns=["word", "count"], data=[["to", 2]])
    logger.log_text("note", "hello")
    logger.finalize("success")
    logger.log_metrics({"afterwards": 1.0}, step=9)
    logger.finalize("success")
    view = _only_run(store)
    assert view.config["hyperparameters"] == {"a": 1}
    assert [image.key for image in view.images()] == ["sample/0", "sample/1"]
    assert view.tables("words")[0].rows == [["to", 2]]
    assert set(view.metrics()) >= {"score", "afterwards"}
    assert view.status == "finished"


def test_a_failed_fit_is_a_failed_run_of_the_logger(store: Path, trainer: Fit) -> None:
    """With the exception, which Lightning does not hand to loggers."""
    with pytest.raises(ZeroDivisionError):
        trainer(logger=BarographLogger()).fit(_Breaking(), _loader())
    view = _only_run(store)
    assert view.status == "failed"
    assert _event(view, "exception")["message"] == "mine"


def test_an_open_run_takes_the_logger_and_stays_open(store: Path, trainer: Fit) -> None:
    """Two fits in it do not clash."""
    with barograph.init() as run:
        for _ in range(2):
            trainer(logger=BarographLogger(), max_epochs=1).fit(_Net(), _loader())
        assert not run.is_finished
    assert _only_run(store).metric("train/loss").steps.tolist() == list(range(8))


@pytest.mark.filterwarnings("ignore")  # between LightningCLI and the parser that it stands on
@pytest.mark.parametrize("kit", _PACKAGES)
def test_lightning_cli_builds_both(
    store: Path, kit: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It wants true subclasses, and arguments that it can read off the signatures."""
    pytest.importorskip("jsonargparse", reason="an extra of Lightning's own")
    monkeypatch.chdir(tmp_path)
    package, net = kit
    cli = importlib.import_module("lightning.pytorch.cli" if package is L else "pytorch_lightning.cli").LightningCLI

    class Net(net):
        def train_dataloader(self) -> Any:
            return _loader()

    place = "barograph.integrations.lightning"
    arguments = [
        "train.py",
        "fit",
        "--seed_everything=1",
        "--trainer.max_epochs=1",
        "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false",
        "--trainer.enable_model_summary=false",
        f"--trainer.callbacks={place}.BarographCallback",
        "--trainer.callbacks.project=from the command line",
        f"--trainer.logger={place}.BarographLogger",
        "--trainer.logger.save_dir=kept",
        "--model.width=2",
    ]
    monkeypatch.setattr(sys, "argv", arguments)
    cli(Net)
    view = _only_run(store)
    assert view.project == "from the command line"
    assert view.config["model"]["hyperparameters"] == {"lr": 0.1, "width": 2}
    assert (tmp_path / "kept" / "config.yaml").exists()
