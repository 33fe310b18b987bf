"""What BarographCallback keeps of a fit with Keras, on the back end that KERAS_BACKEND names; run by test_keras.py."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import barograph
from barograph.integrations.keras import BarographCallback
from barograph.reading import RunView

BACKEND = keras.backend.backend()
ROWS, BATCH = 40, 16  # three batches, the last of eight
pytestmark = [
    # Keras and what it stands on use what numpy, jax or torch are about to take away
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    # Keras says so at the end of every generator of unknown length
    pytest.mark.filterwarnings("ignore:Your input ran out of data"),
]


def draw() -> tuple[Any, Any]:
    """Inputs, and classes that depend on them."""
    x = np.random.default_rng(0).normal(size=(ROWS, 4)).astype("float32")
    return x, (x.sum(axis=1) > 0).astype("int32")


def build(**compile_arguments: Any) -> Any:
    """A small seeded classifier, compiled."""
    keras.utils.set_random_seed(3)
    layers = [keras.Input((4,)), keras.layers.Dense(4, "relu"), keras.layers.Dropout(0.2)]
    model = keras.Sequential([*layers, keras.layers.Dense(2, "softmax", name="out")])
    compile_arguments = {"optimizer": "adam", "loss": "sparse_categorical_crossentropy", **compile_arguments}
    model.compile(jit_compile=False, **compile_arguments)
    return model


def fit(model: Any, *callbacks: Any, epochs: int = 2, **arguments: Any) -> Any:
    """A fit as users write it."""
    x, y = draw()
    arguments = {"x": x, "y": y, "batch_size": BATCH, **arguments}
    return model.fit(**arguments, epochs=epochs, callbacks=list(callbacks), verbose=0)


def only_run() -> RunView:
    """The one run in the store."""
    (view,) = barograph.open().runs()
    return view


def rows_of(key: str) -> list[list[dict[str, Any]]]:
    """The rows of each table under a key."""
    return [[dict(zip(one.columns, row, strict=True)) for row in one.rows] for one in only_run().tables(key)]


def digest_of(path: Path) -> str:
    """How a store names the content of a file."""
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


class Raises(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no annotations
    """The user's own code, which fails in the second epoch."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Fail."""
        if epoch == 1:
            raise ZeroDivisionError("the user's own")


class AwaitsContents(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no annotations
    """Holds the first epoch back until the files are read that a run goes on from: Keras writes over them after it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Wait."""
        deadline_s = time.monotonic() + 20
        while time.monotonic() < deadline_s and barograph.open().run(self._name).artifacts()[0].digest is None:
            time.sleep(0.01)


# -- checkpoints and models ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [True, False])
def test_every_checkpoint_is_an_artifact_by_reference(tmp_path: Path, first: bool) -> None:
    """With its epoch, its score and whether that was the best, whoever is called first; older files are not ours."""
    (tmp_path / "09-9.99.weights.h5").write_bytes(b"of another day")
    pattern = tmp_path / "{epoch:02d}-{val_loss:.2f}.weights.h5"
    saver = keras.callbacks.ModelCheckpoint(pattern, save_weights_only=True)
    callbacks = [BarographCallback(), saver] if first else [saver, BarographCallback()]
    losses = fit(build(), *callbacks, validation_split=0.2, epochs=3).history["val_loss"]
    found = only_run().artifacts("checkpoint")
    assert [one.name for one in found] == [f"{epoch + 1:02d}-{losses[epoch]:.2f}.weights.h5" for epoch in range(3)]
    assert [one.step for one in found] == [2, 4, 6]
    assert [one.digest for one in found] == [digest_of(tmp_path / one.name) for one in found]
    assert not any(one.stored for one in found)
    assert [one.metadata["epoch"] for one in found] == [0, 1, 2]
    assert [one.metadata["score"] for one in found] == losses
    assert [one.metadata["is_best"] for one in found] == [
        loss == min(losses[: place + 1]) for place, loss in enumerate(losses)
    ]


def test_checkpoints_are_copied_if_that_is_asked(tmp_path: Path) -> None:
    """A file that is written again in each epoch has as many versions, which can all be had again."""
    saver = keras.callbacks.ModelCheckpoint(tmp_path / "last.weights.h5", "loss", save_weights_only=True)
    fit(build(), BarographCallback(copy_checkpoints=True), saver)
    found = only_run().artifacts("checkpoint")
    assert [(one.name, one.version, one.stored) for one in found] == [
        ("last.weights.h5", 1, True),
        ("last.weights.h5", 2, True),
    ]
    assert found[0].digest != found[1].digest


def test_a_backup_is_what_the_next_fit_goes_on_from(tmp_path: Path) -> None:
    """An output of the fit that failed, an input of the one that goes on; one that Keras removed is none."""
    backup = tmp_path / "backup"
    with pytest.raises(ZeroDivisionError):
        fit(build(), BarographCallback(name="failed"), keras.callbacks.BackupAndRestore(backup), Raises())
    callbacks = [BarographCallback(name="restored"), AwaitsContents("restored")]
    fit(build(), *callbacks, keras.callbacks.BackupAndRestore(backup))
    failed, restored = (barograph.open().run(name) for name in ("failed", "restored"))
    (left,) = failed.artifacts("checkpoint")
    (used,) = restored.artifacts("checkpoint")
    assert (left.role, used.role) == ("output", "input")
    assert left.digest == used.digest is not None


def test_the_model_is_an_artifact_on_request(tmp_path: Path) -> None:
    """It can be loaded from the store and says the same."""
    model = build()
    fit(model, BarographCallback(log_model=True))
    (end,) = only_run().events("fit_end")
    assert end.data["model"] == "kept"
    (kept,) = only_run().artifacts("model")
    loaded = keras.models.load_model(kept.save(tmp_path / "model.keras"))
    assert all(np.array_equal(a, b) for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True))
    assert kept.metadata["inputs"][0]["shape"] == [None, 4]
    assert kept.metadata["outputs"][0]["shape"] == [None, 2]
    assert kept.metadata["backend"] == BACKEND


@pytest.mark.parametrize(("wished", "word"), [(None, "overhead budget"), (False, "not asked for")])
def test_a_model_that_was_trained_in_no_time_is_not_kept(wished: bool | None, word: str) -> None:
    """Writing it would take longer; the end of the fit says so."""
    fit(build(), BarographCallback(log_model=wished))
    assert only_run().artifacts("model") == []
    (end,) = only_run().events("fit_end")
    assert word in end.data["model"]


def test_a_small_model_is_kept_where_the_budget_allows() -> None:
    """Without being asked for; one that Keras cannot write costs no warning."""

    class Unwritable(keras.layers.Dense):  # type: ignore[misc]  # as above
        def get_config(self) -> Any:
            raise RuntimeError("not me")

    kept = []
    for layer in (keras.layers.Dense, Unwritable):
        model = keras.Sequential([keras.Input((4,)), layer(2, "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
        with barograph.init(overhead_budget=1000.0, name=layer.__name__):
            fit(model, BarographCallback())
        (end,) = barograph.open().run(layer.__name__).events("fit_end")
        kept.append(end.data["model"])
    assert kept[0] == "kept"
    assert "not me" in kept[1]


# -- data and weights ------------------------------------------------------------------------------------------------


def test_arrays_are_described_whole() -> None:
    """Inputs, labels and weights of training, validation and test, as they were before Keras drew batches of them."""
    x, y = draw()
    weights = np.linspace(0.5, 1, ROWS, dtype="float32")
    model, recorder = build(), BarographCallback()
    fit(model, recorder, sample_weight=weights, validation_split=0.2)
    model.evaluate(x, y, callbacks=[recorder], verbose=0)
    found = {one.name: one for one in only_run().datasets()}
    assert {name: one.rows for name, one in found.items()} == {"train": 32, "val": 8, "test": ROWS}
    assert all(one.is_complete for one in found.values())
    with barograph.init(name="given", quiet=True) as run:
        run.log_dataset("train", x[:32], y[:32], weights=weights[:32])
    (given,) = barograph.open().run("given").datasets()
    assert found["train"].fingerprint == given.fingerprint
    assert found["train"].weights["rows"] == 32


def test_several_inputs_are_one_data_set() -> None:
    """A list of arrays, as models with several inputs take it."""
    x, _ = draw()
    parts = [keras.Input((4,)), keras.Input((4,))]
    model = keras.Model(parts, keras.layers.Dense(2, "softmax")(keras.layers.Add()(parts)))
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    fit(model, BarographCallback(), epochs=1, x=[x, x])
    (found,) = only_run().datasets()
    assert (found.rows, found.features, found.is_complete) == (ROWS, 8, True)


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no annotations
    """The same rows in three batches. asked: how often a batch was wanted."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        self.asked += 1
        x, y = draw()
        part = slice(index * BATCH, (index + 1) * BATCH)
        return x[part], y[part]


def test_batches_are_described_as_they_pass_the_first_time() -> None:
    """Of a PyDataset, with no batch drawn for our sake; tensorflow lets nobody see them, which is said."""
    asked = []
    for recorder in ([], [BarographCallback()]):
        training, validation = Batches(), Batches()
        model = build()
        model.fit(training, validation_data=validation, epochs=2, shuffle=False, verbose=0, callbacks=recorder)
        asked.append((training.asked, validation.asked))
    assert asked[0] == asked[1]
    found = {one.name: one for one in only_run().datasets()}
    assert set(found) == {"train", "val"}
    if BACKEND == "tensorflow":
        assert "compiled step" in found["train"].metadata["unread"]
        return
    x, y = draw()
    with barograph.init(name="given", quiet=True) as run:
        run.log_dataset("train", x, y)
    (given,) = barograph.open().run("given").datasets()
    assert found["train"].seen == ROWS
    assert found["train"].fingerprint == found["val"].fingerprint == given.fingerprint


@pytest.mark.parametrize("first", [True, False])
def test_the_weights_are_those_that_the_fit_ends_with(first: bool) -> None:
    """Also where a callback puts the best ones back after we were called; under names that are the same everywhere."""
    stopper = keras.callbacks.EarlyStopping("val_loss", min_delta=100, patience=1, restore_best_weights=True)
    callbacks = [BarographCallback(), stopper] if first else [stopper, BarographCallback()]
    model = build()
    fit(model, *callbacks, epochs=5, validation_split=0.2)
    (found,) = only_run().weights()
    names = [variable.path.removeprefix(f"{model.name}/") for variable in model.weights]
    assert set(found.each) == set(names)
    with barograph.init(name="given", quiet=True) as run:
        run.log_weights(dict(zip(names, model.get_weights(), strict=True)))
    (given,) = barograph.open().run("given").weights()
    assert found.digest == given.digest
    assert found.step == 4


# -- predictions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("explicit", [True, False])
def test_a_few_rows_are_predicted_after_every_validation(explicit: bool) -> None:
    """The same rows each time, spread over the data: label, prediction and score as the model then gave them."""
    x, y = draw()
    data = {"validation_data": (x[32:], y[32:]), "x": x[:32], "y": y[:32]} if explicit else {"validation_split": 0.2}
    model = build()
    fit(model, BarographCallback(log_predictions=3), **data)
    tables = rows_of("predictions/val")
    assert [one.step for one in only_run().tables("predictions/val")] == [2, 4]
    places = np.array([0, 3, 7])
    shares = model.predict(x[32 + places], verbose=0)
    assert [row["index"] for row in tables[1]] == places.tolist()
    assert [row["dataset"] for row in tables[1]] == ["val"] * 3
    assert [row["label"] for row in tables[0]] == [row["label"] for row in tables[1]] == y[32 + places].tolist()
    assert [row["prediction"] for row in tables[1]] == shares.argmax(axis=1).tolist()
    assert [row["score"] for row in tables[1]] == pytest.approx(shares.max(axis=1).tolist(), rel=1e-5)


def test_an_evaluation_has_predictions_of_its_own() -> None:
    """Of the data it was given; without a word about them there are none."""
    x, y = draw()
    model = build()
    model.evaluate(x, y, callbacks=[BarographCallback(log_predictions=100)], verbose=0)
    (rows,) = rows_of("predictions/test")
    assert [row["label"] for row in rows] == y.tolist()
    assert {row["dataset"] for row in rows} == {"test"}


def test_labels_in_a_tuple_of_one_are_those_of_the_one_output() -> None:
    """As Keras takes them."""
    x, y = draw()
    build().evaluate(x, (y,), callbacks=[BarographCallback(log_predictions=2)], verbose=0)
    (rows,) = rows_of("predictions/test")
    assert [row["label"] for row in rows] == y[[0, -1]].tolist()


def test_several_inputs_and_outputs_have_a_table_an_output() -> None:
    """Of a functional model with names."""
    x, y = draw()
    keras.utils.set_random_seed(3)
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    both = keras.layers.Concatenate()([left, right])
    heads = {"kind": keras.layers.Dense(2, "softmax", name="kind"), "size": keras.layers.Dense(1, name="size")}
    model = keras.Model({"left": left, "right": right}, {name: head(both) for name, head in heads.items()})
    model.compile("sgd", {"kind": "sparse_categorical_crossentropy", "size": "mse"}, jit_compile=False)
    given, wanted = {"left": x, "right": x}, {"kind": y, "size": x.sum(axis=1)}
    recorder = BarographCallback(log_predictions=2)
    model.fit(given, wanted, validation_data=(given, wanted), verbose=0, callbacks=[recorder])
    (kinds,), (sizes,) = rows_of("predictions/val/kind"), rows_of("predictions/val/size")
    assert [row["label"] for row in kinds] == y[[0, -1]].tolist()
    assert [row["label"] for row in sizes] == pytest.approx(x.sum(axis=1)[[0, -1]].tolist())
    assert [row["score"] for row in sizes] == [None, None]


class Drawing(keras.layers.Layer):  # type: ignore[misc]  # as above
    """A layer that draws in training and in asking."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = keras.random.SeedGenerator(5)

    def call(self, x: Any) -> Any:
        """With noise."""
        return x + keras.random.normal(keras.ops.shape(x), seed=self.generator)


def test_predictions_change_nothing_of_the_training() -> None:
    """Weights, optimiser and losses to the bit, with dropout, batch normalisation and layers that draw in asking."""
    trained = []
    for wanted in (0, 4):
        keras.utils.set_random_seed(3)
        layers = [keras.Input((4,)), Drawing(), keras.layers.BatchNormalization(), keras.layers.Dropout(0.2)]
        model = keras.Sequential([*layers, keras.layers.Dense(2, "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
        history = fit(model, BarographCallback(log_predictions=wanted), epochs=3, validation_split=0.2).history
        variables = [*model.variables, *model.optimizer.variables]
        trained.append((history, [np.asarray(keras.ops.convert_to_numpy(one)).tobytes() for one in variables]))
    assert trained[0] == trained[1]


def test_rows_of_batches_are_those_that_pass_first_or_are_said_to_be_missing() -> None:
    """Of data that come in batches from Python; tensorflow lets nobody see them."""
    x, y = draw()

    def batches() -> Iterator[Any]:
        for first in range(0, ROWS, 8):
            yield x[first : first + 8], y[first : first + 8]

    build().evaluate(batches(), callbacks=[BarographCallback(log_predictions=10)], verbose=0)
    if BACKEND == "tensorflow":
        (missing,) = only_run().events("predictions_left_out")
        assert missing.data["dataset"] == "test"
    else:
        (rows,) = rows_of("predictions/test")
        assert [row["label"] for row in rows] == y[:10].tolist()


def test_a_negative_number_of_predictions_is_said_at_once() -> None:
    """Arguments that cannot be meant do not wait for the training."""
    with pytest.raises(ValueError, match="log_predictions"):
        BarographCallback(log_predictions=-1)
