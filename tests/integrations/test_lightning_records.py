"""Lightning: what a fit is made of and leaves behind: layers, data, results, predictions, checkpoints, weights."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

import barograph
from barograph.integrations.lightning import BarographCallback, BarographLogger
from barograph.integrations.lightning.data import gathered
from barograph.integrations.lightning.layers import shape_of
from barograph.integrations.lightning.remembered import Remembered
from barograph.integrations.lightning.results import Results
from barograph.reading import RunView

pytestmark = [
    # advice on workers and on the length of these tiny epochs
    pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning"),
    pytest.mark.filterwarnings("ignore::lightning_fabric.utilities.warnings.PossibleUserWarning"),
    # what Lightning calls of torch's pytree and schedulers
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*"),
]

Fit = Callable[..., Any]


def _numbers(rows: int = 32) -> TensorDataset:
    generator = torch.Generator().manual_seed(5)
    return TensorDataset(torch.randn(rows, 4, generator=generator), torch.randint(0, 3, (rows,), generator=generator))


def _loader(rows: int = 32, batch_size: int = 8, **settings: Any) -> DataLoader[Any]:
    return DataLoader(_numbers(rows), batch_size, **settings)


class _Net(L.LightningModule):
    """Three classes; its steps call `self(inputs)`, as the usual module does, and return nothing but a loss."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.act, self.drop = nn.Linear(4, 5), nn.ReLU(), nn.Dropout(0.2)
        self.out = nn.Linear(5, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.out(self.drop(self.act(self.hidden(inputs))))

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        self.log("val/loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))

    def test_step(self, batch: Any, batch_idx: int) -> Any:
        self.validation_step(batch, batch_idx)

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=0.01, weight_decay=0.01)


@pytest.fixture
def trainer(tmp_path: Path) -> Fit:
    """A Trainer that is quick and quiet, with these settings."""

    def make(**settings: Any) -> Any:
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
        return L.Trainer(**{**defaults, **settings})

    return make


def _only_run(store: Path) -> RunView:
    (view,) = barograph.open(store).runs()
    return view


# -- the model -------------------------------------------------------------------------------------------------------


def test_layers_have_the_shapes_that_the_first_batch_showed(store: Path, trainer: Fit) -> None:
    """Input, output and parameters of each layer, as text and as a table; the hooks for it are gone afterwards."""
    net = _Net()
    trainer(callbacks=BarographCallback(watch=False), max_epochs=1).fit(net, _loader())
    view = _only_run(store)
    (table,) = view.tables("model/layers")
    assert table.columns == [
        "layer", "class", "input_shape", "output_shape", "parameters", "trainable_parameters"
    ]  # fmt: skip
    assert table.rows[0] == ["hidden", "Linear", "8x4", "8x5", 25, 25]
    assert table.rows[2] == ["drop", "Dropout", "8x5", "8x5", 0, 0]
    (summary,) = view.texts("model/summary")
    assert "8x3" in (summary.text or "")
    assert not any(layer._forward_hooks for layer in net.modules())


def test_a_fit_that_fails_in_its_first_step_has_its_layers(store: Path, trainer: Fit) -> None:
    """Without the shapes that no batch has shown."""

    class Net(_Net):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            raise LookupError("mine")

    with pytest.raises(LookupError):
        trainer(callbacks=BarographCallback()).fit(Net(), _loader())
    (summary,) = _only_run(store).texts("model/summary")
    assert "hidden" in (summary.text or "")


@pytest.mark.filterwarnings("ignore:.*Lazy modules.*", "ignore:.*uninitialized parameters.*", "ignore:.*LazyModules.*")
def test_lazy_layers_are_described_once_they_are_known(store: Path, trainer: Fit) -> None:
    """They have no size before their first batch."""

    class Net(_Net):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = nn.LazyLinear(5)

    trainer(callbacks=BarographCallback(watch=False), max_epochs=1).fit(Net(), _loader())
    assert _only_run(store).tables("model/layers")[0].rows[0] == ["hidden", "Linear", "8x4", "8x5", 25, 25]


@pytest.mark.parametrize("precision", ["64-true", "bf16-true", "bf16-mixed"])
def test_results_do_not_depend_on_the_precision(store: Path, trainer: Fit, precision: str) -> None:
    """Predictions of half precision are results and tables like any others."""

    class Net(_Net):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return super().forward(inputs.to(self.out.weight.dtype))

    trainer(callbacks=BarographCallback(log_predictions=3), max_epochs=1, precision=precision).fit(
        Net(), _loader(), _loader()
    )
    view = _only_run(store)
    assert view.metric("val/rows").values.tolist() == [32]
    assert len(view.tables("predictions/val")[0].rows) == 3
    assert view.config["trainer"]["precision"] == precision
    kinds = {"64-true": "float64", "bf16-true": "bfloat16", "bf16-mixed": "float32"}
    assert list(view.config["model"]["types"]) == [kinds[precision]]


def test_what_is_compiled_is_left_whole(store: Path, trainer: Fit) -> None:
    """A compiled module trains as it does without us; what its steps return is used."""

    class Net(_Net):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            return nn.functional.cross_entropy(self(batch[0]), batch[1])  # of self.log() Dynamo makes nothing

        def validation_step(self, batch: Any, batch_idx: int) -> Any:
            return self(batch[0])

    weights = []
    for callback in (BarographCallback(), None):
        L.seed_everything(3, verbose=False)
        net = Net()
        trainer(callbacks=callback, max_epochs=1).fit(torch.compile(net, backend="eager"), _loader(), _loader())
        weights.append(torch.cat([one.detach().flatten() for one in net.parameters()]))
    assert torch.equal(*weights)
    assert _only_run(store).metric("val/rows").values.tolist() == [32]


def test_shapes_of_whatever_a_layer_takes() -> None:
    """Tuples, dictionaries, scalars and nothing at all."""
    assert shape_of((torch.zeros(2, 3), {"state": torch.zeros(4), "flag": None})) == "2x3, 4"
    assert shape_of(torch.zeros(())) == "scalar"
    assert shape_of("text") == ""
    assert shape_of(torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)], layout=torch.jagged)) == "nested"


def test_regularisation_in_force_is_in_one_place(store: Path, trainer: Fit) -> None:
    """Weight decay, dropout, normalisation, label smoothing, clipping and early stopping."""

    class Net(_Net):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.loss = nn.BatchNorm1d(5), nn.CrossEntropyLoss(label_smoothing=0.1)
            self.recurrent = nn.LSTM(2, 2, num_layers=2, dropout=0.3)

    stopping = L.pytorch.callbacks.EarlyStopping("val/loss", patience=7, min_delta=0.5)
    trainer(callbacks=[BarographCallback(), stopping], max_epochs=1, gradient_clip_val=0.5).fit(
        Net(), _loader(), _loader()
    )
    found = _only_run(store).config["regularization"]
    assert found["weight_decay"] == {"adam": 0.01}
    assert found["dropout"] == {"drop": 0.2, "recurrent": 0.3}
    assert found["normalization"] == {"BatchNorm1d": 1}
    assert found["label_smoothing"] == {"loss": 0.1}
    assert found["gradient_clipping"] == {"value": 0.5, "algorithm": "norm"}
    (stop,) = found["early_stopping"]
    assert stop.items() >= {"monitor": "val/loss", "patience": 7, "min_delta": 0.5, "mode": "min"}.items()


def test_every_argument_of_the_trainer_is_recorded(store: Path, trainer: Fit) -> None:
    """Under its own name, or as what it became."""
    import inspect

    trainer(callbacks=BarographCallback(), max_epochs=1, max_time={"minutes": 5}).fit(_Net(), _loader())
    recorded = _only_run(store).config["trainer"]
    became = {
        "devices": "num_devices",
        "logger": "loggers",
        "plugins": "precision_plugin",
    }
    missing = [name for name in inspect.signature(L.Trainer).parameters if became.get(name, name) not in recorded]
    assert missing == []
    assert recorded["max_time"] == 300


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=50), {"total_steps": 50}),
        (lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 4), {"T_0": 4}),
        (lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [2, 5], gamma=0.3), {"gamma": 0.3}),
        (lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda epoch: 0.9**epoch), {"base_lrs": [0.01]}),
    ],
)
def test_settings_of_schedulers_are_recorded(store: Path, trainer: Fit, make: Any, expected: dict[str, Any]) -> None:
    """Whatever kind it is."""

    class Net(_Net):
        def configure_optimizers(self) -> Any:
            optimizer = super().configure_optimizers()
            return [optimizer], [{"scheduler": make(optimizer), "interval": "step"}]

    trainer(callbacks=BarographCallback(), max_epochs=1).fit(Net(), _loader())
    (scheduler,) = _only_run(store).config["scheduler"]
    assert scheduler["settings"].items() >= expected.items()
    assert scheduler["interval"] == "step"


# -- time and place --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accumulated", [1, 2])
def test_the_step_is_split_into_its_parts(store: Path, trainer: Fit, accumulated: int) -> None:
    """Wait, forward, backward and optimiser are parts of the step, however many batches it has."""
    trainer(callbacks=BarographCallback(), accumulate_grad_batches=accumulated).fit(_Net(), _loader())
    view = _only_run(store)
    parts = [view.metric(f"time/{part}_s").values for part in ("data", "forward", "backward", "optimizer")]
    assert all((part > 0).all() for part in parts)
    assert (sum(parts) <= view.metric("time/step_s").values * 1.0001).all()


def test_manual_optimisation_is_split_as_well(store: Path, trainer: Fit) -> None:
    """With two optimisers, and a step past Lightning that belongs to nobody."""

    class Net(_Net):
        automatic_optimization = False

        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            for optimizer in self.optimizers():
                optimizer.zero_grad()
                self.manual_backward(nn.functional.cross_entropy(self(batch[0]), batch[1]))
                optimizer.step()
            self.optimizers()[0].optimizer.step()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.hidden.parameters(), 0.1), torch.optim.SGD(self.out.parameters(), 0.2)

    trainer(callbacks=BarographCallback(), max_epochs=1).fit(Net(), _loader())
    view = _only_run(store)
    parts = [view.metric(f"time/{part}_s").values for part in ("data", "forward", "backward", "optimizer")]
    assert (sum(parts) <= view.metric("time/step_s").values * 1.0001).all()
    assert (parts[3] > 0).all()


def test_a_look_at_a_step_that_is_not_logged_has_its_position(store: Path, trainer: Fit) -> None:
    """Epoch, batch and samples stand beside weights and gradients, once for every step."""
    options = {"log_every": 3, "first_steps": 0}
    trainer(callbacks=BarographCallback(watch=options), log_every_n_steps=4).fit(_Net(), _loader())
    view = _only_run(store)
    looked, placed = view.metric("gradients/norm").steps, view.metric("epoch").steps
    assert set(looked) <= set(placed)
    assert len(placed) == len(set(placed))
    samples = view.metric("samples")
    assert samples.values.tolist() == [8.0 * (step + 1) for step in samples.steps]
    assert view.metric("epoch").values.tolist() == [step // 4 for step in placed]


def test_what_optimisers_keep_is_looked_into(store: Path, trainer: Fit) -> None:
    """The norms of Adam's moments, at the steps of looks."""
    norms = {}

    class Net(_Net):
        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            state = self.trainer.optimizers[0].state.values()
            norms[batch_idx] = float(torch.cat([one["exp_avg"].flatten() for one in state]).norm())

    trainer(callbacks=BarographCallback(watch={"log_every": 1}), max_epochs=1).fit(Net(), _loader())
    view = _only_run(store)
    found = view.metric("optimizer/adam/exp_avg/norm")
    assert found.values == pytest.approx([norms[step] for step in found.steps], rel=1e-5)
    assert (view.metric("optimizer/adam/exp_avg_sq/norm").values > 0).all()


# -- results ---------------------------------------------------------------------------------------------------------


def _classes(generator: np.random.Generator) -> tuple[Any, Any]:
    return generator.normal(size=(50, 4)).astype(np.float32), generator.integers(0, 4, 50)


def _fed(outputs: Any, labels: Any) -> Results:
    """Results over two unequal batches."""
    results = Results()
    for part in (slice(0, 13), slice(13, None)):
        results.add(torch.as_tensor(outputs[part]), torch.as_tensor(labels[part]))
    return results


@pytest.mark.parametrize("as_shares", [False, True])
def test_results_of_classes_are_those_of_scikit_learn(as_shares: bool) -> None:
    """Whether the model puts out scores or probabilities."""
    scores, labels = _classes(np.random.default_rng(1))
    shares = np.exp(scores.astype(np.float64)) / np.exp(scores.astype(np.float64)).sum(1, keepdims=True)
    results = _fed(shares.astype(np.float32) if as_shares else scores, labels)
    said = scores.argmax(1)
    assert results.figures() == pytest.approx(
        {
            "rows": 50,
            "accuracy": metrics.accuracy_score(labels, said),
            "f1": metrics.f1_score(labels, said, average="macro"),
            "log_loss": metrics.log_loss(labels, shares),
        },
        rel=1e-5,
    )
    matrix = np.zeros((4, 4), int)
    tables = results.tables()
    matrix[tables["confusion"]["label"], tables["confusion"]["prediction"]] = tables["confusion"]["count"]
    assert (matrix == metrics.confusion_matrix(labels, said)).all()
    recalls = metrics.recall_score(labels, said, average=None)
    assert tables["classes"]["recall"] == pytest.approx(recalls)


@pytest.mark.parametrize("as_shares", [False, True])
def test_one_output_beside_labels_of_0_and_1_is_a_class(as_shares: bool) -> None:
    """As in binary cross entropy, with labels of any kind and a column for the output."""
    generator = np.random.default_rng(2)
    scores, labels = generator.normal(size=(40, 1)).astype(np.float32), generator.integers(0, 2, 40)
    shares = 1 / (1 + np.exp(-scores.astype(np.float64)))
    results = _fed(shares.astype(np.float32) if as_shares else scores, labels.astype(np.float32)[:, None])
    said = scores[:, 0] > 0
    assert results.figures() == pytest.approx(
        {
            "rows": 40,
            "accuracy": metrics.accuracy_score(labels, said),
            "f1": metrics.f1_score(labels, said),
            "log_loss": metrics.log_loss(labels, shares[:, 0]),
        },
        rel=1e-5,
    )
    assert sum(results.tables()["confusion"]["count"]) == 40


def test_results_of_values_are_those_of_scikit_learn() -> None:
    """MAE, MSE and R2, of several values a row as well."""
    generator = np.random.default_rng(3)
    outputs, labels = (generator.normal(1e3, 1, (60, 2)).astype(np.float32) for _ in range(2))
    expected = {
        "rows": 60,
        "mae": metrics.mean_absolute_error(labels, outputs),
        "mse": metrics.mean_squared_error(labels, outputs),
        "r2": metrics.r2_score(labels.ravel(), outputs.ravel()),
    }
    assert _fed(outputs, labels).figures() == pytest.approx(expected, rel=1e-4)
    assert _fed(outputs, labels).tables() == {}


def test_padding_does_not_count() -> None:
    """Labels that are none of the classes, such as -100."""
    results = Results()
    results.add(torch.eye(3), torch.tensor([0, -100, 2]))
    assert results.figures()["rows"] == 2
    assert results.figures()["accuracy"] == 1


@pytest.mark.parametrize(
    ("outputs", "labels"),
    [
        (torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)),
        (torch.zeros(4, 3), torch.zeros(5, dtype=torch.long)),
        (torch.zeros(4, 300), torch.zeros(4, dtype=torch.long)),
        (torch.zeros(4, 7, 3), torch.zeros(4, 7, dtype=torch.long)),
        (torch.zeros(4, 3), torch.eye(4)[:, :3]),
        (torch.zeros(4, 3, dtype=torch.long), torch.zeros(4, dtype=torch.long)),
        (torch.zeros(4, 3), torch.full((4,), -100)),
    ],
)
def test_what_is_neither_classes_nor_values_is_passed_over(outputs: torch.Tensor, labels: torch.Tensor) -> None:
    """Empty batches, too many classes, sequences, several labels a row."""
    results = Results()
    results.add(outputs, labels)
    assert results.figures() == {}


def test_an_evaluation_has_results_without_being_asked(store: Path, trainer: Fit) -> None:
    """Of all rows, for validation at its steps and for a test; the sanity check is none."""
    net = _Net()
    one = trainer(callbacks=BarographCallback(), num_sanity_val_steps=2)
    one.fit(net, _loader(), _loader(20))
    one.test(net, _loader(12), verbose=False)
    view = _only_run(store)
    assert view.metric("val/accuracy").steps.tolist() == [3, 7]
    assert view.metric("val/rows").values.tolist() == [20, 20]
    net.eval()
    inputs, labels = _numbers(12).tensors
    scores = net(inputs).detach()
    expected = (scores.argmax(1) == labels).float().mean().item(), nn.functional.cross_entropy(scores, labels).item()
    found = [view.metric(f"test/{name}").values[0] for name in ("accuracy", "log_loss")]
    assert found == pytest.approx(expected, rel=1e-5)
    assert sum(row[2] for row in view.tables("test/confusion")[0].rows) == 12


def test_a_result_of_the_modules_own_goes_before_ours(store: Path, trainer: Fit) -> None:
    """Under one name there is one figure: the one that the module logs."""

    class Net(_Net):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self(batch[0])
            self.log("val/accuracy", 7.0)

    trainer(callbacks=BarographCallback()).fit(Net(), _loader(), _loader())
    view = _only_run(store)
    assert view.metric("val/accuracy").values.tolist() == [7.0, 7.0]
    assert len(view.metric("val/f1").values) == 2


def test_an_embedding_is_not_taken_for_classes(store: Path, trainer: Fit) -> None:
    """More outputs than labels know of, which the step did not return, are no predictions."""

    class Net(_Net):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.hidden(inputs)

    trainer(callbacks=BarographCallback(), max_epochs=1).fit(Net(), _loader(), _loader())
    assert "val/rows" not in _only_run(store).metrics()


class _Parts(_Net):
    """Calls its children one after the other and not itself."""

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self.out(self.hidden(batch[0])), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        nn.functional.cross_entropy(self.out(self.hidden(batch[0])), batch[1])


def test_a_module_that_calls_its_children_has_results_and_predictions(store: Path, trainer: Fit) -> None:
    """The last one called gives the predictions; no child keeps a hook of ours."""
    net = _Parts()
    trainer(callbacks=BarographCallback(log_predictions=3), max_epochs=1).fit(net, _loader(), _loader())
    view = _only_run(store)
    inputs, labels = _numbers().tensors
    scores = net.out(net.hidden(inputs))
    accuracy = float((scores.argmax(1) == labels).float().mean())
    assert view.metric("val/accuracy").values.tolist() == [pytest.approx(accuracy)]
    (table,) = view.tables("predictions/val")
    assert [row[3] for row in table.rows] == scores[:3].argmax(1).tolist()
    assert not any(layer._forward_hooks for layer in net.modules())


@pytest.mark.parametrize("kind", ["classes", "binary", "floats"])
def test_what_a_child_says_of_something_else_is_no_result(store: Path, trainer: Fit, kind: str) -> None:
    """One output of several children's last, beside whole labels of more than two kinds, is that of a discriminator."""

    class Net(_Parts):
        def __init__(self) -> None:
            super().__init__()
            self.judge = nn.ModuleList([nn.Linear(5, 1)])

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.judge[0](self.hidden(batch[0]))

    inputs, labels = _numbers().tensors
    labels = {"classes": labels, "binary": labels.clamp(max=1), "floats": labels.float()}[kind]
    data = DataLoader(TensorDataset(inputs, labels), 8)
    trainer(callbacks=BarographCallback(log_predictions=2), max_epochs=1).fit(Net(), _loader(), data)
    view = _only_run(store)
    found = {key.rpartition("/")[2] for key in view.metrics() if key.startswith("val/")}
    assert (
        found
        == {
            "classes": set(),
            "binary": {"rows", "accuracy", "f1", "log_loss"},
            "floats": {"rows", "mae", "mse", "r2"},
        }[kind]
    )
    assert len(view.tables("predictions/val")) == (kind != "classes")


def test_a_copy_of_the_module_made_in_an_evaluation_has_no_hook_of_ours(store: Path, trainer: Fit) -> None:
    """Users keep the best model so; the copy can be pickled and drags nothing along."""
    copies = []

    class Net(_Net):
        def on_validation_epoch_end(self) -> None:
            copies.append(pickle.dumps(copy.deepcopy(self.out)))
            trainer_of, self._trainer = self._trainer, None
            copies.append(pickle.dumps(copy.deepcopy(self)))
            self._trainer = trainer_of

    Net.__qualname__ = "_Found"  # where pickle looks for a class that was made in a function
    globals()["_Found"] = Net
    trainer(callbacks=BarographCallback(), max_epochs=1).fit(Net(), _loader(), _loader())
    assert len(copies) == 4
    loaded = pickle.loads(copies[-1])  # our own bytes
    assert loaded(torch.zeros(2, 4)).shape == (2, 3)


@pytest.mark.parametrize("returned", ["tensor", "dictionary", "nothing"])
def test_what_the_step_returns_comes_first(store: Path, trainer: Fit, returned: str) -> None:
    """A tensor with a row for each sample, or one under a usual name, with its labels."""

    class Net(_Net):
        def validation_step(self, batch: Any, batch_idx: int) -> Any:
            right = nn.functional.one_hot(batch[1], 3).float()
            self(batch[0])
            return {"tensor": right, "dictionary": {"logits": right, "loss": right.sum()}, "nothing": None}[returned]

    trainer(callbacks=BarographCallback(), max_epochs=1).fit(Net(), _loader(), _loader())
    accuracy = _only_run(store).metric("val/accuracy").values[0]
    assert (accuracy == 1) == (returned != "nothing")


# -- predictions -----------------------------------------------------------------------------------------------------


def test_no_predictions_are_kept_unless_asked_for(store: Path, trainer: Fit) -> None:
    """They may be what nobody is to see."""
    trainer(callbacks=BarographCallback(), max_epochs=1).fit(_Net(), _loader(), _loader())
    assert not [table for table in _only_run(store).tables() if table.key.startswith("predictions")]


def test_the_first_rows_of_every_evaluation_are_a_table(store: Path, trainer: Fit) -> None:
    """Over batches, the same rows each time, with label, prediction and score."""
    net = _Net()
    one = trainer(callbacks=BarographCallback(log_predictions=10), num_sanity_val_steps=1)
    one.fit(net, _loader(), _loader())
    one.test(net, _loader(), verbose=False)
    view = _only_run(store)
    tables = view.tables("predictions/val")
    assert [table.step for table in tables] == [3, 7]
    inputs, labels = _numbers().tensors
    for table in tables:
        assert [row[:3] for row in table.rows] == [[row, "val", int(labels[row])] for row in range(10)]
    net.eval()
    scores = net(inputs)[:10]
    (last,) = view.tables("predictions/test")
    assert [row[3] for row in last.rows] == scores.argmax(1).tolist()
    assert [row[4] for row in last.rows] == pytest.approx(scores.amax(1).tolist(), rel=1e-5)


def test_predict_step_is_asked_where_there_is_nothing_else(store: Path, trainer: Fit) -> None:
    """For the rows of the table only, and no generator notices."""
    calls = []

    class Net(_Net):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val/loss", nn.functional.cross_entropy(self.out(self.hidden(batch[0])), batch[1]))

        def predict_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            calls.append(torch.rand(1) + np.random.rand())
            return self(batch[0])

    drawn = []
    for callback in (BarographCallback(log_predictions=3), None):
        L.seed_everything(1, verbose=False)
        trainer(callbacks=callback, max_epochs=1).fit(Net(), _loader(), _loader())
        drawn.append((float(torch.rand(1)), np.random.rand()))
    assert drawn[0] == drawn[1]
    assert len(calls) == 1
    assert len(_only_run(store).tables("predictions/val")[0].rows) == 3


@pytest.mark.parametrize("why", ["nothing to find", "shuffled"])
def test_predictions_that_cannot_be_had_are_told(store: Path, trainer: Fit, why: str) -> None:
    """Once an evaluation, with the reason."""

    class Net(_Net):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val/loss", self.hidden(batch[0]).sum())

    net, shuffle = (Net(), False) if why == "nothing to find" else (_Net(), True)
    trainer(callbacks=BarographCallback(log_predictions=3), max_epochs=1, num_sanity_val_steps=0).fit(
        net, _loader(), _loader(shuffle=shuffle)
    )
    view = _only_run(store)
    (event,) = view.events("predictions_left_out")
    assert ("another order" if shuffle else "predict_step") in event.data["reason"]
    assert not view.tables("predictions/val")


def test_several_validation_sets_are_kept_apart(store: Path, trainer: Fit) -> None:
    """By number, for results and predictions."""

    class Net(_Net):
        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
            self(batch[0])

    trainer(callbacks=BarographCallback(log_predictions=2), max_epochs=1).fit(
        Net(), _loader(), [_loader(8), _loader(16)]
    )
    view = _only_run(store)
    assert [view.metric(f"val/{index}/rows").values.tolist() for index in (0, 1)] == [[8], [16]]
    assert [len(view.tables(f"predictions/val/{index}")[0].rows) for index in (0, 1)] == [2, 2]


# -- data ------------------------------------------------------------------------------------------------------------


class _Rows(Dataset[Any]):
    """Rows that are made when they are asked for, and counted."""

    def __init__(self, rows: int = 24) -> None:
        self.tensors, self.asked = _numbers(rows).tensors, 0

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: int) -> Any:
        self.asked += 1
        return self.tensors[0][index], self.tensors[1][index]


def test_data_in_memory_is_known_as_a_whole(store: Path, trainer: Fit) -> None:
    """Tensors and parts of them, whatever the batches and their order; the same rows have the same fingerprint."""
    whole, loader = _numbers(), _loader(shuffle=True)
    trainer(callbacks=BarographCallback(), max_epochs=1).fit(
        _Net(), loader, DataLoader(Subset(whole, list(range(31, -1, -1))), 8)
    )
    found = {one.name: one for one in _only_run(store).datasets()}
    assert found["train"].rows == found["val"].rows == 32
    assert found["train"].is_complete
    assert found["train"].fingerprint["unordered"] == found["val"].fingerprint["unordered"]
    assert found["train"].fingerprint["ordered"] != found["val"].fingerprint["ordered"]


def test_data_that_is_made_on_the_way_is_known_by_its_batches(
    store: Path, trainer: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """During the first pass, and not a row is read more often than without us."""
    monkeypatch.setenv("BAROGRAPH_OVERHEAD_BUDGET", "1")  # else a busy machine may look at a part of them only
    asked = []
    for callback in (BarographCallback(), None):
        train, val = _Rows(), _Rows(16)
        trainer(callbacks=callback, num_sanity_val_steps=1).fit(
            _Net(), DataLoader(train, 8, shuffle=True), DataLoader(val, 8)
        )
        asked.append((train.asked, val.asked))
    assert asked[0] == asked[1]
    found = {one.name: one for one in _only_run(store).datasets()}
    assert (found["train"].rows, found["val"].rows) == (24, 16)
    assert found["train"].is_complete


def test_the_same_data_has_the_same_fingerprint_in_memory_and_by_batches(
    store: Path, trainer: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that runs can be compared although one of them has loaded everything beforehand."""
    monkeypatch.setenv("BAROGRAPH_OVERHEAD_BUDGET", "1")  # else a busy machine may look at a part of them only
    for data in (_numbers(24), _Rows(24)):
        trainer(callbacks=BarographCallback(), max_epochs=1).fit(_Net(), DataLoader(data, 8, shuffle=True))
    first, second = (view.datasets()[0] for view in barograph.open(store).runs())
    assert first.fingerprint["unordered"] == second.fingerprint["unordered"]


@pytest.mark.parametrize("change", ["nothing", "torch", "numpy", "another object"])
def test_tensors_that_a_run_knows_are_not_read_again(store: Path, change: str) -> None:
    """Unless somebody has written to them, by whichever way, or they are others."""
    remembered, tensor = Remembered(), torch.zeros(50, 3)
    with barograph.init() as run, barograph.init() as other:
        assert not remembered.is_known(run, "train", [tensor])
        assert not remembered.is_known(other, "train", [tensor])
        if change == "torch":
            tensor.add_(1)
        elif change == "numpy":
            tensor.numpy()[:] += 1
        elif change == "another object":
            tensor = torch.zeros(50, 3)
        assert remembered.is_known(run, "train", [tensor]) == (change == "nothing")
        assert remembered.is_known(run, "train", [tensor])
        assert not remembered.is_known(run, "val", [torch.empty(0)])


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16, torch.bool, torch.complex64])
@pytest.mark.parametrize("shape", [(50,), (50, 3), (50, 2, 3)])
def test_rows_of_a_part_are_those_that_torch_takes(kind: torch.dtype, shape: tuple[int, ...]) -> None:
    """Of whatever type and layout, counted from either end."""
    whole = torch.randn(shape[::-1]).to(kind).permute(*range(len(shape) - 1, -1, -1))
    rows = np.array([3, 0, -1, 3])
    assert torch.equal(gathered(whole, rows), whole[torch.from_numpy(rows)])


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.bool, torch.complex128, torch.float8_e4m3fn])
def test_tensors_of_any_type_are_known_again(store: Path, kind: torch.dtype) -> None:
    """However they lie in memory; of what has no memory to read none is."""
    remembered, tensor = Remembered(), torch.ones(3, 50).to(kind).t()
    with barograph.init() as run:
        assert not remembered.is_known(run, "train", [tensor])
        assert remembered.is_known(run, "train", [tensor])
        assert [remembered.is_known(run, "meta", [torch.ones(3, device="meta")]) for _ in range(2)] == [False, False]


def test_what_a_loader_mixes_its_data_by_is_seen(store: Path, trainer: Fit) -> None:
    """A generator of its own, by its state; each once, and none where there is none."""
    mixed = _loader(shuffle=True, generator=torch.Generator().manual_seed(3))
    loaders = {"mixed": mixed, "plain": _loader()}
    trainer(callbacks=BarographCallback(watch=False), max_epochs=1).fit(_Sum(), loaders)
    (seeds,) = [one for one in _only_run(store).seeds() if one.at == "fit_start"]
    assert [name for name in seeds.states if name.startswith("loader")] == ["loader/0"]


class _Sum(_Net):
    """Of two loaders, whose batches come together."""

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return super().training_step(batch["mixed"], batch_idx)


def test_a_second_fit_on_the_same_data_keeps_its_record(store: Path, trainer: Fit) -> None:
    """One run with several fits has each data set once."""
    loader, callback = _loader(), BarographCallback()
    for _ in range(2):
        trainer(callbacks=callback, max_epochs=1).fit(_Net(), loader)
    view = _only_run(store)
    assert [one.name for one in view.datasets()] == ["train"]
    assert len(view.weights()) == 2


@pytest.mark.parametrize("split", ["validate", "test", "predict"])
def test_an_evaluation_alone_tells_its_data(store: Path, trainer: Fit, split: str) -> None:
    """Under the split's own name."""

    class Net(_Net):
        def predict_step(self, batch: Any, batch_idx: int) -> Any:
            return self(batch[0])

    getattr(trainer(callbacks=BarographCallback()), split)(Net(), DataLoader(_Rows(), 8))
    (dataset,) = _only_run(store).datasets()
    assert dataset.name == {"validate": "val"}.get(split, split)
    assert dataset.rows == 24


def test_odd_batches_do_no_harm(store: Path, trainer: Fit) -> None:
    """Dictionaries with texts, several loaders at once, data without a length."""

    class Endless(torch.utils.data.IterableDataset[Any]):
        def __iter__(self) -> Any:
            return iter([{"x": torch.ones(4), "label": torch.tensor(2), "id": "a"}] * 16)

    class Net(_Net):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            return self(batch["one"]["x"]).sum() + self(batch["two"][0]).sum()

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self(batch["x"])

    trainer(callbacks=BarographCallback(log_predictions=2), max_epochs=1).fit(
        Net(), {"one": DataLoader(Endless(), 4), "two": _loader(16, 4)}, DataLoader(Endless(), 4)
    )
    view = _only_run(store)
    assert view.status == "finished"
    assert {one.name for one in view.datasets()} == {"train", "val"}
    assert view.metric("val/rows").values.tolist() == [16]


# -- what is left behind ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copies", [False, True])
def test_checkpoints_are_artifacts(store: Path, trainer: Fit, tmp_path: Path, copies: bool) -> None:
    """Path, monitor, score, best flag and the hash of the content; kept in the store only if asked."""
    saving = L.pytorch.callbacks.ModelCheckpoint(tmp_path / "kept", monitor="val/loss", save_top_k=-1)
    trainer(callbacks=[BarographCallback(copy_checkpoints=copies), saving], enable_checkpointing=True).fit(
        _Net(), _loader(), _loader()
    )
    view = _only_run(store)
    found = view.artifacts("checkpoint")
    assert len(found) == 2
    assert {one.path for one in found} == {str(path) for path in (tmp_path / "kept").iterdir()}
    for one in found:
        assert one.metadata["monitor"] == "val/loss"
        assert one.metadata["score"] == pytest.approx(float(saving.best_k_models[one.path]))
        assert one.digest is not None
        assert one.stored is copies
    assert _end(view)["best_checkpoint"]["path"] == saving.best_model_path


def test_the_logger_records_checkpoints_as_artifacts(store: Path, trainer: Fit, tmp_path: Path) -> None:
    """As the callback does."""
    logger = BarographLogger(copy_checkpoints=True, save_dir=tmp_path / "logs")
    trainer(logger=logger, enable_checkpointing=True, max_epochs=1).fit(_Net(), _loader())
    (artifact,) = _only_run(store).artifacts("checkpoint")
    assert artifact.stored


@pytest.mark.filterwarnings("ignore:.*experimental.*")  # Lightning's word on its own plugin
def test_a_checkpoint_that_a_thread_saves_is_recorded_once_it_is_there(
    store: Path, trainer: Fit, tmp_path: Path
) -> None:
    """AsyncCheckpointIO returns before the file exists."""
    from lightning.pytorch.plugins.io import AsyncCheckpointIO

    saving = L.pytorch.callbacks.ModelCheckpoint(tmp_path / "kept", save_top_k=-1)
    trainer(callbacks=[BarographCallback(), saving], enable_checkpointing=True, plugins=AsyncCheckpointIO()).fit(
        _Net(), _loader()
    )
    view = _only_run(store)
    assert len(view.events("checkpoint")) == len(view.artifacts("checkpoint")) == 2


def test_the_final_weights_are_told_by_a_digest(store: Path, trainer: Fit) -> None:
    """The same for trainings that are the same to the bit, and another for any other."""
    for seed in (1, 1, 2):
        L.seed_everything(seed, verbose=False)
        trainer(callbacks=BarographCallback(), max_epochs=1).fit(_Net(), _loader())
    digests = [view.weights()[-1].digest for view in barograph.open(store).runs()]
    assert len(set(digests)) == 2
    assert digests[1] == digests[2]


def _end(view: RunView) -> dict[str, Any]:
    (event,) = view.events("fit_end")
    return event.data


def test_a_best_checkpoint_is_restored_in_a_test_of_the_same_run(store: Path, trainer: Fit, tmp_path: Path) -> None:
    """`ckpt_path="best"` is told with the test."""
    saving = L.pytorch.callbacks.ModelCheckpoint(tmp_path / "kept", monitor="val/loss")
    one = trainer(callbacks=[BarographCallback(), saving], enable_checkpointing=True)
    one.fit(_Net(), _loader(), _loader())
    one.test(dataloaders=_loader(), ckpt_path="best", verbose=False)
    (event,) = _only_run(store).events("test_end")
    assert event.data["checkpoint"] == saving.best_model_path


# -- settings and tools of the trainer -------------------------------------------------------------------------------


def test_a_batch_size_finder_leaves_nothing_but_its_fit(store: Path, trainer: Fit) -> None:
    """Its trials within the fit are no training."""

    class Net(_Net):
        batch_size = 2

        def train_dataloader(self) -> Any:
            return _loader(batch_size=self.batch_size)

        def val_dataloader(self) -> Any:
            return _loader(batch_size=self.batch_size)

    finder = L.pytorch.callbacks.BatchSizeFinder(max_trials=2, steps_per_trial=1, init_val=2)
    net = Net()
    trainer(callbacks=[BarographCallback(), finder], max_epochs=1).fit(net)
    view = _only_run(store)
    assert len(view.events("fit_start")) == 1
    assert view.config["data"]["train"]["loaders"][0]["batch_size"] == net.batch_size > 2
    assert view.metric("train/loss").steps.tolist() == list(range(32 // net.batch_size))


def test_settings_that_module_and_datamodule_both_have_do_no_harm(store: Path, trainer: Fit) -> None:
    """Lightning's own way to loggers raises where they differ."""

    class Data(L.LightningDataModule):
        def __init__(self, width: int = 1) -> None:
            super().__init__()
            self.save_hyperparameters()

        def train_dataloader(self) -> Any:
            return _loader()

    class Net(_Net):
        def __init__(self, width: int = 2) -> None:
            super().__init__()
            self.save_hyperparameters()

    trainer(callbacks=BarographCallback(), max_epochs=1).fit(Net(), datamodule=Data())
    config = _only_run(store).config
    assert config["model"]["hyperparameters"] == {"width": 2}
    assert config["data"]["hyperparameters"] == {"width": 1}


def test_a_module_that_clips_by_itself_shows_both_norms(store: Path, trainer: Fit) -> None:
    """In `configure_gradient_clipping`, as in the Trainer's own way."""

    class Net(_Net):
        def configure_gradient_clipping(self, optimizer: Any, *arguments: Any, **named: Any) -> None:
            nn.utils.clip_grad_norm_(self.parameters(), 1e-3)

    trainer(callbacks=BarographCallback(), max_epochs=1).fit(Net(), _loader())
    view = _only_run(store)
    assert (view.metric("gradients/norm").values > 1e-2).all()
    assert view.metric("gradients/norm_clipped").values == pytest.approx(1e-3, rel=1e-2)


def test_limits_are_kept_and_seen(store: Path, trainer: Fit) -> None:
    """Data that is only passed in part is told as such."""
    trainer(callbacks=BarographCallback(), max_epochs=1, limit_train_batches=2).fit(
        _Net(), DataLoader(_Rows(), 8, shuffle=True)
    )
    (dataset,) = _only_run(store).datasets()
    assert dataset.seen == 16
    assert not dataset.is_complete
