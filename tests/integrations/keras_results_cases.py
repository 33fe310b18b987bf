"""How good BarographCallback finds a model of Keras, on the back end that KERAS_BACKEND names; run by test_keras.py."""

import random
from typing import Any

import keras
import numpy as np
import pytest

import barograph
from barograph.integrations.keras import BarographCallback
from barograph.reading import RunView

BACKEND = keras.backend.backend()
ROWS = 64
FIGURES = ["accuracy", "f1", "log_loss"]
pytestmark = [
    # Keras and what it stands on use what numpy, jax or torch are about to take away
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    # Keras says so where an epoch of so many steps uses all data up
    pytest.mark.filterwarnings("ignore:Your input ran out of data"),
]


def draw(classes: int = 3) -> tuple[Any, Any]:
    """Inputs, and classes that depend on them."""
    x = np.random.default_rng(0).normal(size=(ROWS, 4)).astype("float32")
    return x, np.digitize(x.sum(axis=1), np.linspace(-1, 1, classes - 1)).astype("int32")


def build(outputs: int = 3, loss: Any = "sparse_categorical_crossentropy", activation: Any = "softmax") -> Any:
    """A small seeded network, compiled."""
    keras.utils.set_random_seed(3)
    layers = [keras.Input((4,)), keras.layers.Dense(4, "relu"), keras.layers.Dropout(0.2)]
    model = keras.Sequential([*layers, keras.layers.Dense(outputs, activation)])
    model.compile("adam", loss, jit_compile=False)
    return model


def fit(model: Any, *callbacks: Any, data: Any = None, epochs: int = 2, **arguments: Any) -> Any:
    """A fit as users write it, with a quarter of the rows for validation."""
    x, y = data or draw()
    arguments = {"x": x, "y": y, "batch_size": 16, "validation_split": 0.25, **arguments}
    return model.fit(**arguments, epochs=epochs, callbacks=list(callbacks), verbose=0)


def only_run() -> RunView:
    """The one run in the store."""
    (view,) = barograph.open().runs()
    return view


def figures_of(split: str, view: RunView | None = None) -> dict[str, float]:
    """The last value of each metric of a split, without Keras' own loss."""
    view = view or only_run()
    keys = [key for key in view.metrics() if key.startswith(f"{split}/") and key != f"{split}/loss"]
    return {key.removeprefix(f"{split}/"): float(view.metric(key).values[-1]) for key in keys}


def reasons(name: str) -> list[str]:
    """Why something was left out."""
    return [event.data["reason"] for event in only_run().events() if event.name == name]


def trace_of(model: Any) -> tuple[Any, ...]:
    """All that a fit leaves in a model and in the random generators, and what is drawn and trained next."""
    left = [np.asarray(one) for one in model.get_weights() + [keras.ops.convert_to_numpy(one) for one in
            (*model.optimizer.variables, *model.metrics_variables)]]  # fmt: skip
    drawn = [random.random(), float(np.random.random()), float(keras.random.uniform(()))]
    fit(model)
    return tuple(one.tobytes() for one in (*left, np.array(drawn), *map(np.asarray, model.get_weights())))


class Custom(keras.Model):  # type: ignore[misc]  # Keras has no annotations
    """A model that counts its calls, that nobody can clone, and that logs by itself."""

    def __init__(self, head: Any) -> None:
        super().__init__()
        self.inner, self.head, self.settings = keras.layers.Dense(4, "relu"), head, {"unread": object()}

    def call(self, x: Any, training: bool = False) -> Any:
        """Two layers."""
        return self.head(self.inner(x))

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """What the user makes of fit is called by the user only."""
        self.settings["fits"] = self.settings.get("fits", 0) + 1
        return super().fit(*args, **kwargs)


# -- results ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", ["whole", "one_hot"])
def test_results_of_a_classifier_are_those_of_its_predictions(labels: str) -> None:
    """Of all validation rows, by the model that the fit ends with."""
    x, right = draw()
    sparse = labels == "whole"
    model = build(loss="sparse_categorical_crossentropy" if sparse else "categorical_crossentropy")
    fit(model, BarographCallback(results=True), data=(x, right if sparse else np.eye(3, dtype="float32")[right]))
    said, asked = model.predict(x[48:], verbose=0), right[48:]
    found = figures_of("val")
    assert sorted(found) == FIGURES
    assert found["accuracy"] == np.mean(said.argmax(axis=1) == asked)
    confusion = only_run().tables("val/confusion")[-1]
    pairs = np.zeros((3, 3), int)
    for label, prediction, count in confusion.rows:
        pairs[label, prediction] = count
    assert (pairs == np.histogram2d(asked, said.argmax(axis=1), bins=3, range=[(0, 3), (0, 3)])[0]).all()
    assert found["log_loss"] == pytest.approx(-np.log(said[np.arange(16), asked]).mean(), rel=1e-4)
    assert only_run().metric("val/f1").steps.tolist() == [6]


def test_results_of_scores_take_the_loss_at_its_word() -> None:
    """Outputs of a binary classifier before its sigmoid."""
    x, right = draw(2)
    model = build(1, keras.losses.BinaryCrossentropy(from_logits=True), None)
    fit(model, BarographCallback(results=True), data=(x, right))
    chances = 1 / (1 + np.exp(-model.predict(x[48:], verbose=0)[:, 0].astype("float64")))
    right = right[48:]
    expected = -np.log(np.where(right == 1, chances, 1 - chances)).mean()
    assert figures_of("val")["log_loss"] == pytest.approx(expected, rel=1e-4)


def test_results_of_a_regression_are_its_errors() -> None:
    """Also where the values to predict look like classes; Keras' own figure of the same name stays."""
    x, right = draw(2)
    model = build(1, "mse", None)
    model.compile("adam", "mse", metrics=["mae"])
    history = fit(model, BarographCallback(results=True), data=(x, right.astype("float32"))).history
    found = figures_of("val")
    assert sorted(found) == ["mae", "mse", "r2"]
    assert found["mae"] == history["val_mae"][-1]
    errors = model.predict(x[48:], verbose=0)[:, 0] - right[48:]
    assert found["mse"] == pytest.approx(np.mean(errors**2), rel=1e-4)


def test_results_of_several_outputs_have_their_names() -> None:
    """Each output by its own loss."""
    x, right = draw()
    inputs = keras.Input((4,))
    outputs = {"kind": keras.layers.Dense(3, "softmax", name="kind")(inputs), "sum": keras.layers.Dense(1)(inputs)}
    model = keras.Model(inputs, outputs)
    model.compile("adam", {"kind": "sparse_categorical_crossentropy", "sum": "mse"}, jit_compile=False)
    fit(model, BarographCallback(results=True), data=(x, {"kind": right, "sum": x.sum(axis=1)}))
    found = {key for key in figures_of("val") if "/" in key}
    assert found == {"kind/accuracy", "kind/f1", "kind/log_loss", "sum/mae", "sum/mse", "sum/r2"}


def test_results_after_restored_weights_are_those_of_the_restored_model() -> None:
    """What Keras said of the last epoch is of another model."""
    x, right = draw()
    model = build()
    model.compile(keras.optimizers.SGD(10.0), model.loss, metrics=["accuracy"], jit_compile=False)
    stopper = keras.callbacks.EarlyStopping("loss", patience=1, restore_best_weights=True)
    fit(model, BarographCallback(results=True), stopper, data=(x, right), epochs=8)
    said = model.predict(x[48:], verbose=0).argmax(axis=1)
    assert figures_of("val")["accuracy"] == np.mean(said == right[48:])


def test_results_come_with_an_evaluation_and_count_by_weight() -> None:
    """Under the name of the test data."""
    x, right = draw()
    weights = np.arange(ROWS, dtype="float32")
    model = build()
    model.evaluate(x, right, sample_weight=weights, verbose=0, callbacks=[BarographCallback(results=True)])
    found = figures_of("test")
    said = model.predict(x, verbose=0).argmax(axis=1)
    assert found["accuracy"] == pytest.approx(np.average(said == right, weights=weights))
    assert {"f1", "log_loss"} <= set(found)


def test_data_in_many_pieces_give_the_results_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last piece has rows of the one before, which count once."""
    monkeypatch.setattr("barograph.integrations.keras.results._PIECE_BYTES", 1)
    x, right = draw()
    model = build()
    model.evaluate(x, right, batch_size=24, verbose=0, callbacks=[BarographCallback(results=True)])
    assert figures_of("test")["accuracy"] == np.mean(model.predict(x, verbose=0).argmax(axis=1) == right)


def test_results_that_cost_too_much_are_left_out_with_a_word() -> None:
    """An evaluation alone pays for no second one; one event says so, however often it is done."""
    model, callback = build(), BarographCallback()
    for _ in range(2):
        model.evaluate(*draw(), verbose=0, callbacks=[callback])
    assert "test/f1" not in only_run().metrics()
    (reason,) = reasons("results_left_out")
    assert "overhead budget" in reason


def test_no_results_are_wanted() -> None:
    """results=False predicts nothing and says nothing."""
    fit(build(), BarographCallback(results=False))
    assert figures_of("val") == {}
    assert reasons("results_left_out") == []


def test_results_of_batches_are_left_out_with_a_word() -> None:
    """Nothing is drawn from the user's data for our sake."""

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no annotations
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> Any:
            return tuple(one[:16] for one in draw())

    fit(build(), BarographCallback(results=True), validation_data=Batches(), validation_split=0.0)
    assert reasons("results_left_out") == ["the data are no arrays, and their batches are kept by nobody"]


def test_a_model_that_cannot_predict_costs_no_warning() -> None:
    """Such as one that only its own step knows how to ask."""

    class Asked(keras.Sequential):  # type: ignore[misc]  # Keras has no annotations
        def predict_step(self, *_: Any) -> Any:
            raise RuntimeError("ask my step")

    model = Asked([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    fit(model, BarographCallback(results=True))
    (reason,) = reasons("results_left_out")
    assert "ask my step" in reason


def test_a_model_of_a_fixed_batch_is_asked_in_such_batches() -> None:
    """It can say nothing of others."""
    model = keras.Sequential([keras.Input(batch_shape=(16, 4)), keras.layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    x, right = draw()
    model.evaluate(x, right, batch_size=16, verbose=0, callbacks=[BarographCallback(results=True)])
    said = model.predict(x, batch_size=16, verbose=0).argmax(axis=1)
    assert figures_of("test")["accuracy"] == np.mean(said == right)


# -- learning curves -------------------------------------------------------------------------------------------------


def test_a_learning_curve_has_a_point_for_each_number_of_rows() -> None:
    """The last one is of the fit itself; a share that is none of whole rows is rounded."""
    history = fit(build(), BarographCallback(learning_curve=(0.5, 0.1, 0.101))).history
    for split in ("train", "val"):
        points = only_run().metric(f"learning_curve/{split}/loss")
        assert points.steps.tolist() == [5, 24, 48]
        assert points.values[-1] == history["loss" if split == "train" else "val_loss"][-1]
        assert len(set(points.values)) == 3
    assert not [key for key in only_run().metrics() if key.startswith("learning_curve/lr")]


def test_a_learning_curve_trains_as_the_fit_did() -> None:
    """From the same weights, on rows spread evenly, as a fit on these rows alone does."""

    def untrained() -> Any:
        keras.utils.set_random_seed(3)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(3, "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
        return model

    x, y = draw()
    arguments = {"validation_data": (x[48:], y[48:]), "validation_split": 0.0, "shuffle": False}
    fit(untrained(), BarographCallback(learning_curve=(0.25,)), data=(x[:48], y[:48]), **arguments)
    places = np.linspace(0, 47, 12).astype(int)
    alone = fit(untrained(), data=(x[places], y[places]), **arguments).history
    found = only_run().metric("learning_curve/val/loss")
    assert found.values[0] == pytest.approx(alone["val_loss"][-1], rel=1e-5)


def test_results_and_learning_curves_leave_no_trace() -> None:
    """Model, optimiser, metrics and random generators are as they are without, and so is the next fit."""
    traces = []
    for callbacks in ([], [BarographCallback(results=True, learning_curve=(0.3, 0.6))]):
        keras.utils.clear_session()  # before 3.8 seeds left what keras.random draws from as it was
        model = build()
        history = fit(model, *callbacks)
        assert model.history is history
        traces.append(trace_of(model))
    assert traces[0] == traces[1]


def test_a_model_that_cannot_be_cloned_has_a_learning_curve() -> None:
    """Of any class, with its own fit, which is not called again."""
    model = Custom(keras.layers.Dense(3, "softmax"))
    model(draw()[0])  # builds it, which on tensorflow would else be done by the first step
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    fit(model, BarographCallback(learning_curve=(0.5,)))
    assert model.settings["fits"] == 1
    assert only_run().metric("learning_curve/val/loss").steps.tolist() == [24, 48]


def test_a_fit_that_goes_on_has_no_learning_curve() -> None:
    """Its model has seen all rows already."""
    model = build()
    fit(model)
    fit(model, BarographCallback(learning_curve=(0.5,)))
    assert reasons("learning_curve_left_out") == ["the model goes on from an earlier training"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"validation_split": 0.0}, "no validation data"),
        ({"steps_per_epoch": 2}, "number of steps"),
    ],
)
def test_why_there_is_no_learning_curve_is_said(arguments: dict[str, Any], word: str) -> None:
    """In one event."""
    fit(build(), BarographCallback(learning_curve=(0.5,)), **arguments)
    (reason,) = reasons("learning_curve_left_out")
    assert word in reason


def test_shares_must_be_shares() -> None:
    """Wrong ones are told at once."""
    with pytest.raises(ValueError, match="learning_curve must be shares"):
        BarographCallback(learning_curve=(10,))


# -- what is told of a model without a fit ---------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["evaluate", "predict"])
def test_a_run_without_a_fit_describes_the_model(call: str) -> None:
    """Layers, activations and back end, once."""
    model, callback = build(), BarographCallback()
    data = draw() if call == "evaluate" else draw()[:1]
    for _ in range(2):
        getattr(model, call)(*data, verbose=0, callbacks=[callback])
    view = only_run()
    assert view.config["model"]["activations"] == {"relu": 1, "softmax": 1}
    assert view.config["framework"]["backend"] == BACKEND
    assert view.config["compile"]["loss"] == "sparse_categorical_crossentropy"
    assert len(view.tables("model/layers")) == 1


def test_seeds_that_layers_draw_from_are_noted_when_a_fit_starts() -> None:
    """Models with the same states of their seed generators will drop the same units."""
    for seed in (1, 1, 2):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5, seed=seed), keras.layers.Dense(3)])
        model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
        fit(model, BarographCallback())
    found = [
        next(one for one in view.seeds() if one.at == "fit_start").states["keras.layers"]
        for view in sorted(barograph.open().runs(), key=lambda view: view.created)
    ]
    assert found[0] == found[1] != found[2]
