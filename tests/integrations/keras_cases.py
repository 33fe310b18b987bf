"""What BarographCallback records of Keras, on the back end that KERAS_BACKEND names; run by test_keras.py."""

import copy
import gc
import pickle
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras.src.utils import traceback_utils

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


def build(optimizer: Any = "adam", kind: type[Any] = keras.Sequential, **compile_arguments: Any) -> Any:
    """A small seeded network, compiled."""
    keras.utils.set_random_seed(3)
    hidden = keras.layers.Dense(8, activation="relu", kernel_regularizer="l2", name="hidden")
    layers = [keras.Input((4,)), hidden, keras.layers.Dropout(0.2), keras.layers.Dense(2, activation="softmax")]
    model = kind(layers)
    compile_arguments = {"jit_compile": False, **compile_arguments}  # compiling takes longer than these fits
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], **compile_arguments)
    return model


def fit(model: Any, *callbacks: Any, epochs: int = 2, **arguments: Any) -> Any:
    """A fit as users write it."""
    x, y = draw()
    arguments = {"x": x, "y": y, "batch_size": BATCH, **arguments}
    return model.fit(**arguments, epochs=epochs, callbacks=list(callbacks), verbose=0)


def runs() -> list[RunView]:
    """All runs, oldest first."""
    return sorted(barograph.open().runs(), key=lambda view: view.created)


def only_run() -> RunView:
    """The one run in the store."""
    (view,) = barograph.open().runs()
    return view


def event(name: str) -> dict[str, Any]:
    """What belongs to the one event of this name."""
    (found,) = only_run().events(name)
    return found.data


def steps(key: str) -> list[int]:
    """At which steps the one run has this metric."""
    return [int(step) for step in only_run().metric(key).steps]


def values(key: str) -> list[float]:
    """The values of this metric in the one run."""
    return [float(value) for value in only_run().metric(key).values]


class Data(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no annotations
    """Three batches, of which one may raise."""

    def __init__(self, broken: int | None = None) -> None:
        super().__init__()
        self.broken = broken

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        if index == self.broken:
            raise ZeroDivisionError("the user's own")
        x, y = draw()
        return x[:BATCH], y[:BATCH]


class Does(keras.callbacks.Callback):  # type: ignore[misc]  # as above
    """The user's own code at the end of each epoch."""

    def __init__(self, action: Any) -> None:
        super().__init__()
        self.action = action

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Do it."""
        self.action(self.model, epoch)


def raises(kind: type[BaseException]) -> Does:
    """A callback of the user's that fails."""

    def fail(model: Any, epoch: int) -> None:
        raise kind("the user's own")

    return Does(fail)


# -- what is recorded ------------------------------------------------------------------------------------------------


def test_an_epoch_is_a_point_of_every_metric() -> None:
    """Keras' names become ours, the step is the batches seen, and epoch, rate and times stand beside."""
    history = fit(build(), BarographCallback(), validation_split=0.2).history
    assert values("train/loss") == history["loss"]
    assert values("val/accuracy") == history["val_accuracy"]
    assert steps("train/loss") == steps("val/loss") == [2, 4]
    assert values("epoch") == [0, 1]
    assert values("lr/default") == pytest.approx([1e-3, 1e-3])
    seconds = values("time/epoch_s")
    assert all(0 < step * 2 < epoch for step, epoch in zip(values("time/step_s"), seconds, strict=True))
    assert values("throughput/samples_per_s") == pytest.approx([32 / (2 * step) for step in values("time/step_s")])
    assert all(0 < validation < epoch for validation, epoch in zip(values("time/validation_s"), seconds, strict=True))
    assert ("time/data_s" in only_run().metrics()) == (BACKEND != "tensorflow")


def test_the_settings_are_those_of_model_optimiser_and_call() -> None:
    """Everything that was passed to compile and fit, and what is behind it, is in the configuration."""
    model = build(keras.optimizers.SGD(0.1, momentum=0.9))
    fit(model, BarographCallback(), keras.callbacks.EarlyStopping("loss", patience=7), class_weight={0: 1.0, 1: 2.0})
    config = only_run().config
    assert config["framework"]["version"] == keras.__version__
    assert config["framework"]["backend"] == BACKEND
    assert config["framework"]["backend_version"] == sys.modules[BACKEND].__version__
    assert config["optimizer"]["class"] == "SGD"
    assert config["optimizer"]["learning_rate"] == 0.1
    assert config["optimizer"]["momentum"] == 0.9
    assert config["compile"]["loss"] == "sparse_categorical_crossentropy"
    assert config["fit"]["batch_size"] == BATCH
    assert config["fit"]["class_weight"] == {"0": 1.0, "1": 2.0}
    assert config["data"]["x"] == {"class": "numpy.ndarray", "shape": [ROWS, 4], "dtype": "float32"}
    assert (config["data"]["batch_size"], config["data"]["batches_per_epoch"], config["data"]["samples"]) == (16, 3, 40)
    assert [callback["class"] for callback in config["callbacks"]] == ["EarlyStopping"]
    assert config["callbacks"][0]["patience"] == 7


def test_the_layers_are_a_table_numbers_and_a_text() -> None:
    """Shapes, activations and parameters of each layer."""
    fit(build(), BarographCallback(), epochs=1)
    model = only_run().config["model"]
    assert model["parameters"] == model["trainable_parameters"] == 58
    assert model["activations"] == {"relu": 1, "softmax": 1}
    (table,) = only_run().tables("model/layers")
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert (rows[0]["layer"], rows[0]["class"], rows[0]["parameters"]) == ("hidden", "Dense", 40)
    assert rows[0]["output_shape"] == "(None, 8)"
    (text,) = only_run().texts("model/summary")
    assert text.text is not None
    assert "hidden" in text.text


def test_the_regularisation_in_force_is_in_one_place() -> None:
    """Penalties, dropout, weight decay, clipping, smoothed labels, averaged weights and early stopping."""
    optimizer = keras.optimizers.AdamW(0.01, weight_decay=0.05, clipnorm=2.0, use_ema=True)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    model = build(optimizer)
    model.compile(optimizer, loss, jit_compile=False)
    stopper = keras.callbacks.EarlyStopping("loss", patience=7, min_delta=0.5)
    fit(model, BarographCallback(), stopper, epochs=1, y=np.eye(2)[draw()[1]])
    found = only_run().config["regularization"]
    assert found["penalties"] == {"hidden": {"kernel_regularizer": {"class": "L2", "l2": 0.01}}}
    assert list(found["dropout"].values()) == [{"rate": 0.2}]
    assert found["weight_decay"] == {"default": 0.05}
    assert found["gradient_clipping"] == {"default": {"clipnorm": 2.0}}
    assert found["weight_averaging"] == {"default": 0.99}
    assert found["label_smoothing"] == {"loss": 0.1}
    (stopping,) = found["early_stopping"]
    assert (stopping["monitor"], stopping["patience"], stopping["min_delta"]) == ("loss", 7, 0.5)


def test_what_wrapped_and_nested_layers_do_is_found() -> None:
    """Activations, dropout and penalties of recurrent, wrapped and nested layers, and layers that are activations."""
    block = keras.Sequential(
        [
            keras.layers.BatchNormalization(),
            keras.layers.LeakyReLU(),
            keras.layers.Dropout(0.5, name="drop"),
            keras.layers.Dense(1, kernel_constraint="non_neg", name="head"),
        ],
        name="block",
    )
    lstm = keras.layers.LSTM(2, dropout=0.25, kernel_regularizer=keras.regularizers.L1(0.5), name="lstm")
    model = keras.Sequential([keras.Input((3, 2)), keras.layers.Bidirectional(lstm, name="both"), block])
    model.compile("sgd", "mse", jit_compile=False)
    fit(model, BarographCallback(), epochs=1, x=np.zeros((4, 3, 2)), y=np.zeros((4, 1)))
    config = only_run().config
    assert config["model"]["activations"] == {"tanh": 2, "sigmoid": 2, "LeakyReLU": 1, "linear": 1}
    (table,) = only_run().tables("model/layers")
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert rows[0]["activation"] == "tanh, sigmoid"
    found = config["regularization"]
    assert found["dropout"]["block/drop"] == {"rate": 0.5}
    assert [rates for name, rates in found["dropout"].items() if name.startswith("both/")] == [{"dropout": 0.25}] * 2
    penalties = [one for name, one in found["penalties"].items() if name.startswith("both/")]
    assert penalties == [{"kernel_regularizer": {"class": "L1", "l1": 0.5}}] * 2
    assert found["penalties"]["block/head"] == {"kernel_constraint": {"class": "NonNeg"}}
    assert found["normalization"] == {"BatchNormalization": 1}


class Subclassed(keras.Model):  # type: ignore[misc]  # as above
    """A model that builds itself when it sees its first batch, with a step and an optimiser of its own."""

    def __init__(self, layers: list[Any]) -> None:
        super().__init__()
        self.block = keras.Sequential(layers[1:3])
        self.head = layers[-1]
        self.second_optimizer = keras.optimizers.SGD(0.25)

    def call(self, x: Any) -> Any:
        """Inputs to classes."""
        return self.head(self.block(x))

    def train_step(self, *arguments: Any) -> Any:
        """What a step is, whatever the back end passes to it."""
        return super().train_step(*arguments)


def test_a_subclassed_model_is_described_with_its_own_step_and_optimisers() -> None:
    """Nested layers have a path, shapes are known without a graph, every optimiser has its rate."""
    fit(build(kind=Subclassed), BarographCallback(), epochs=1)
    (table,) = only_run().tables("model/layers")
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert rows[0]["layer"].endswith("/hidden")
    assert rows[-1]["activation"] == "softmax"
    assert values("lr/second_optimizer") == [0.25]
    assert steps("train/loss") == [3]


def test_what_cannot_be_described_costs_only_itself() -> None:
    """A loss that is a lambda, a metric and a data set that raise when asked do not stop the recording."""

    class Shy(keras.metrics.SparseCategoricalAccuracy):  # type: ignore[misc]  # as above
        def __init__(self, secret: int = 1) -> None:
            super().__init__("shy")

        @property
        def secret(self) -> int:
            raise RuntimeError("not telling")

    model = build()
    model.compile("sgd", lambda y, p: keras.ops.mean(keras.ops.square(p)), metrics=[Shy()])
    fit(model, BarographCallback(), epochs=1)
    config = only_run().config
    assert "not telling" in config["compile"]["metrics"]["unreadable"]
    assert config["compile"]["loss"] == "<lambda>"
    assert config["optimizer"]["class"] == "SGD"


def test_a_schedule_gives_the_rate_in_force() -> None:
    """The rate of a schedule is that at the epoch's end, also behind a loss scale."""
    schedule = keras.optimizers.schedules.ExponentialDecay(0.5, decay_steps=3, decay_rate=0.5)
    fit(build(keras.mixed_precision.LossScaleOptimizer(keras.optimizers.SGD(schedule))), BarographCallback())
    assert values("lr/default") == pytest.approx([0.25, 0.125])
    assert only_run().config["optimizer"]["inner_optimizer"]["learning_rate"]["decay_rate"] == 0.5


@pytest.mark.parametrize("first", [True, False])
def test_a_reduced_rate_is_an_event_and_counts_from_the_next_epoch(first: bool) -> None:
    """ReduceLROnPlateau before or after us: each epoch has the rate it was trained with."""
    plateau = keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=100)
    callbacks = [BarographCallback(), plateau]
    fit(build(keras.optimizers.SGD(0.5)), *(callbacks if first else reversed(callbacks)), epochs=3)
    assert values("lr/default") == [0.5, 0.5, 0.25]
    reduced = [one.data for one in only_run().events("learning_rate_reduced")]
    assert [(one["by"], one["epoch"], one["before"], one["after"]) for one in reduced] == [
        ("ReduceLROnPlateau", 1, 0.5, 0.25),
        ("ReduceLROnPlateau", 2, 0.25, 0.125),
    ]


def test_what_checkpoints_hold_is_an_event(tmp_path: Path) -> None:
    """A ModelCheckpoint that saves the model with the callback around leaves path and best score."""
    saver = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor="loss", save_best_only=True)
    history = fit(build(), BarographCallback(), saver).history
    assert event("checkpoint")["path"] == str(tmp_path / "best.keras")
    assert event("checkpoint")["monitor"] == "train/loss"
    assert event("checkpoint")["best"] == min(history["loss"])
    assert keras.models.load_model(tmp_path / "best.keras") is not None


# -- how a fit ends --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [True, False])
def test_early_stopping_is_an_event(first: bool) -> None:
    """Who stopped the fit, for which metric, which epoch was best and which weights were put back."""
    stopper = keras.callbacks.EarlyStopping("val_loss", min_delta=100, patience=2, restore_best_weights=True)
    callbacks = [BarographCallback(), stopper] if first else [stopper, BarographCallback()]
    given = list(callbacks)
    x, y = draw()
    model = build()
    model.fit(x, y, batch_size=BATCH, epochs=9, validation_split=0.2, callbacks=callbacks, verbose=0)
    assert callbacks == given
    stop = event("early_stop")
    assert (stop["by"], stop["monitor"], stop["mode"]) == ("EarlyStopping", "val/loss", "min")
    assert (stop["best_epoch"], stop["best_step"], stop["stopped_epoch"], stop["restored_epoch"]) == (0, 2, 2, 0)
    assert (stop["wait"], stop["patience"], stop["min_delta"]) == (2, 2, 100)
    assert stop["best"] == values("val/loss")[0]
    assert (stop["reason"], stop["message"]) == ("patience_exhausted", "val/loss did not improve for 2 epochs")
    assert event("fit_end") | {"duration_s": 0, "model": None} == {
        "reason": "early_stop", "by": "EarlyStopping", "epochs": 3, "steps": 6, "duration_s": 0, "restored_epoch": 0,
        "model": None,
    }  # fmt: skip
    assert only_run().status == "finished"


def test_all_epochs_reached_is_the_normal_end() -> None:
    """A fit that nobody stopped says so."""
    fit(build(), BarographCallback())
    assert event("fit_end")["reason"] == "epochs_reached"


def test_a_loss_that_is_no_number_is_the_reason() -> None:
    """TerminateOnNaN ends normally for Keras; we say why, and keep the NaN."""
    fit(build(), BarographCallback(), keras.callbacks.TerminateOnNaN(), x=np.full((ROWS, 4), np.nan, "float32"))
    assert event("fit_end")["reason"] == "nan"
    assert np.isnan(values("train/loss")).all()


def test_a_fit_stopped_by_the_user_in_mid_epoch_counts_the_batches_trained() -> None:
    """`model.stop_training = True` in a batch hook: the reason is that, the step what was really trained."""

    class Stops(keras.callbacks.Callback):  # type: ignore[misc]  # as above
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.stop_training = batch == 1

    fit(build(), BarographCallback(), Stops())
    assert event("fit_end")["reason"] == "stopped"
    assert steps("train/loss") == [2]


def test_an_exception_fails_the_run_at_once() -> None:
    """The run has exception, traceback and step before the user's own handler has ended; the next fit is a new run."""
    recorder = BarographCallback()
    with pytest.raises(ZeroDivisionError, match="the user's own"):
        fit(build(), recorder, raises(ZeroDivisionError))
    failed = only_run()
    assert failed.status == "failed"
    assert failed.error is not None
    assert (failed.error.type, failed.error.message) == ("ZeroDivisionError", "the user's own")
    assert "keras_cases.py" in failed.error.traceback
    assert event("exception")["step"] == 3
    assert event("fit_end")["reason"] == "exception"
    fit(build(), recorder)
    assert [view.status for view in runs()] == ["failed", "finished"]


def test_an_exception_in_the_data_fails_the_run() -> None:
    """The same for what raises inside Keras' own loop, whatever the back end makes of it."""

    with pytest.raises(Exception) as raised:  # tensorflow makes its own exception of the user's
        build().fit(Data(broken=2), shuffle=False, callbacks=[BarographCallback()], verbose=0)
    failed = only_run()
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error.type == raised.type.__name__


def test_an_exception_leaves_the_users_run_open() -> None:
    """The user's run notes the exception and goes on as long as the user wants."""
    with barograph.init(quiet=True) as run:
        with pytest.raises(ZeroDivisionError):
            fit(build(), BarographCallback(), raises(ZeroDivisionError))
        assert not run.is_finished
    assert event("exception")["type"] == "ZeroDivisionError"
    assert only_run().status == "finished"


def test_an_interrupted_fit_is_interrupted_once_the_user_has_handled_it() -> None:
    """Ctrl-C passes no hook of Keras, and still the run is closed when the call is gone."""
    recorder = BarographCallback()
    try:
        fit(build(), recorder, raises(KeyboardInterrupt))
    except KeyboardInterrupt:
        pass
    gc.collect()  # under pytest a traceback may be part of a cycle
    assert only_run().status == "interrupted"
    assert event("fit_end")["reason"] == "interrupted"


def test_an_interrupted_fit_is_interrupted_when_the_next_one_begins() -> None:
    """As in a notebook, which keeps the last traceback and with it the call."""
    recorder = BarographCallback()
    with pytest.raises(KeyboardInterrupt) as raised:
        fit(build(), recorder, raises(KeyboardInterrupt))
    fit(build(), recorder)
    assert [view.status for view in runs()] == ["interrupted", "finished"]
    assert raised.traceback


def test_a_failed_evaluation_fails_the_run() -> None:
    """Also evaluate and predict end as they end."""
    with pytest.raises(Exception, match="the user's own"):
        build().evaluate(Data(broken=2), callbacks=[BarographCallback()], verbose=0)
    assert only_run().status == "failed"
    assert "the user's own" in event("exception")["message"]


def test_where_keras_shows_whole_tracebacks_the_run_is_failed_too() -> None:
    """Without the function that exceptions are handed to, the end is seen when the call is gone."""
    keras.config.disable_traceback_filtering()
    try:
        fit(build(), BarographCallback(), raises(ZeroDivisionError))
    except ZeroDivisionError:
        pass
    finally:
        keras.config.enable_traceback_filtering()
    gc.collect()
    assert only_run().status == "failed"


@pytest.mark.parametrize("ends", [True, False])
def test_keras_is_as_it_was_afterwards(ends: bool) -> None:
    """What is put into Keras to see exceptions is there during a fit only, however it ends."""
    original = traceback_utils._process_traceback_frames
    seen = []
    during = Does(lambda model, epoch: seen.append(traceback_utils._process_traceback_frames))
    try:
        fit(build(), BarographCallback(), during, *([] if ends else [raises(ZeroDivisionError)]), epochs=1)
    except ZeroDivisionError:
        pass
    assert seen != [original]
    assert traceback_utils._process_traceback_frames is original


def test_a_list_that_the_user_made_is_as_it_was() -> None:
    """A CallbackList of the user's own, with several of ours, which all hear the end after everybody else."""
    model, (x, y) = build(), draw()
    recorders = [BarographCallback(name="one"), BarographCallback(name="two")]
    callbacks = keras.callbacks.CallbackList(recorders, add_history=True, model=model, epochs=1)
    before = list(callbacks.callbacks)
    model.fit(x, y, epochs=1, verbose=0, callbacks=callbacks)
    assert callbacks.callbacks == before
    assert [view.status for view in runs()] == ["finished", "finished"]


# -- several calls ---------------------------------------------------------------------------------------------------


def test_fit_evaluate_and_predict_with_one_callback_are_one_run() -> None:
    """The evaluation's metrics and the prediction's time stand at the step the fit came to."""
    recorder, (x, y) = BarographCallback(), draw()
    model = build()
    fit(model, recorder)
    loss, _ = model.evaluate(x, y, callbacks=[recorder], verbose=0)
    model.predict(x, callbacks=[recorder], verbose=0)
    assert only_run().status == "finished"
    assert values("test/loss") == [loss]
    assert steps("test/loss") == steps("time/predict_s") == [6]
    assert values("throughput/predict_samples_per_s") == pytest.approx([ROWS / values("time/predict_s")[0]])
    assert len(only_run().events("fit_start")) == 1


def test_validation_is_not_an_evaluation_but_one_inside_a_fit_is() -> None:
    """`evaluate` called by the user's own callback during a fit stands beside the validation and ends nothing."""
    recorder, (x, y) = BarographCallback(), draw()
    evaluates = Does(lambda model, epoch: model.evaluate(x, y, callbacks=[recorder], verbose=0))
    history = fit(build(), evaluates, recorder, validation_split=0.2).history
    assert values("val/loss") == history["val_loss"]
    assert len(values("test/loss")) == 2
    assert steps("train/loss") == [2, 4]
    assert event("fit_end")["reason"] == "epochs_reached"


def test_an_evaluation_alone_is_a_run() -> None:
    """Without a fit before it the step is 0."""
    x, y = draw()
    build().evaluate(x, y, callbacks=[BarographCallback()], verbose=0)
    assert only_run().status == "finished"
    assert steps("test/accuracy") == [0]


def test_fits_count_on_also_from_an_initial_epoch() -> None:
    """A second fit's steps follow the first one's; one that begins at an epoch goes on where that epoch is."""
    with barograph.init(quiet=True):
        model = build()
        fit(model, BarographCallback())
        fit(model, BarographCallback(), initial_epoch=2, epochs=3)
        fit(model, BarographCallback(), epochs=1)
    assert steps("train/loss") == [3, 6, 9, 12]
    assert values("epoch") == [0, 1, 2, 0]
    assert [one.data["offset"] for one in only_run().events("fit_start")] == [0, 0, 9]


def test_a_fit_that_is_restored_goes_on_at_the_epoch_it_came_to(tmp_path: Path) -> None:
    """BackupAndRestore moves the first epoch after the fit has begun."""

    def fail_in_the_second(model: Any, epoch: int) -> None:
        if epoch == 1:
            raise ZeroDivisionError

    backup = tmp_path / "backup"
    with pytest.raises(ZeroDivisionError):
        fit(build(), Does(fail_in_the_second), keras.callbacks.BackupAndRestore(backup))
    fit(build(), BarographCallback(), keras.callbacks.BackupAndRestore(backup))
    assert event("fit_start")["initial_epoch"] == 1
    assert steps("train/loss") == [6]
    assert values("epoch") == [1]


def test_batches_of_unknown_number_are_counted() -> None:
    """A generator does not say how many batches it has: the optimiser does."""
    x, y = draw()

    def batches() -> Iterator[Any]:
        for first in range(0, ROWS, 8):
            yield x[first : first + 8], y[first : first + 8]

    build().fit(batches(), shuffle=False, callbacks=[BarographCallback()], verbose=0)
    assert steps("train/loss") == [5]
    seen = "throughput/samples_per_s" in only_run().metrics()
    assert seen == (BACKEND != "tensorflow")


# -- batches ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("log_every", [None, 2])
def test_keras_goes_on_without_waiting_for_callbacks(log_every: int | None) -> None:
    """Neither form switches off the asynchronous dispatch of a back end that has it."""
    recorder = BarographCallback(log_every=log_every)
    callbacks = keras.callbacks.CallbackList([recorder])
    assert callbacks._async_train == callbacks._async_test == keras.src.backend.IS_THREAD_SAFE
    overridden = type(recorder).on_train_batch_end is not keras.callbacks.Callback.on_train_batch_end
    assert overridden == (log_every is not None)


def test_batches_are_logged_every_so_many() -> None:
    """The running means at the step of the batch, which goes on over epochs."""
    fit(build(), BarographCallback(log_every=2))
    assert steps("batch/loss") == [2, 4, 6]
    assert values("batch/loss")[-1] == pytest.approx(values("train/loss")[-1])
    assert steps("train/loss") == [3, 6]


def test_batches_may_be_told_of_in_any_order() -> None:
    """The step comes from the batch's index."""
    recorder = BarographCallback(log_every=1)
    recorder.set_params({"epochs": 1, "steps": 3})
    recorder.set_model(build())
    recorder.on_train_begin()
    recorder.on_epoch_begin(0)
    for batch in (2, 0, 1):
        recorder.on_train_batch_end(batch, {"loss": float(batch)})
    recorder.on_epoch_end(0, {"loss": 0.0})
    recorder.on_train_end()
    series = only_run().metric("batch/loss")
    assert dict(zip(series.steps.tolist(), series.values.tolist(), strict=True)) == {1: 0.0, 2: 1.0, 3: 2.0}


@pytest.mark.skipif(BACKEND == "torch", reason="Keras has no steps_per_execution on torch")
def test_several_batches_an_execution_are_counted_one_by_one() -> None:
    """With steps_per_execution a hook stands for several batches, the last one for what is left."""
    schedule = keras.optimizers.schedules.ExponentialDecay(1.0, decay_steps=1, decay_rate=0.5)
    model = build(keras.optimizers.SGD(schedule), steps_per_execution=2)
    fit(model, BarographCallback(log_every=1))
    assert steps("train/loss") == [3, 6]
    assert steps("batch/loss") == [2, 3, 5, 6]
    rate = only_run().metric("lr/default")
    assert rate.values[rate.steps == 2].tolist() == [0.5]


def test_a_wrong_interval_is_said_at_once() -> None:
    """Arguments that cannot be meant do not wait for the training."""
    with pytest.raises(ValueError, match="log_every"):
        BarographCallback(log_every=0)


# -- leaving the training alone --------------------------------------------------------------------------------------


@pytest.mark.parametrize("log_every", [None, 1])
def test_the_trained_weights_are_the_same_to_the_bit(log_every: int | None) -> None:
    """With dropout, validation and restored weights, recorded or not; optimiser included."""
    trained = []
    for recorder in ([], [BarographCallback(log_every=log_every)]):
        model = build(jit_compile="auto")
        stopper = keras.callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True)
        fit(model, *recorder, stopper, epochs=3, validation_split=0.2)
        variables = [*model.variables, *model.optimizer.variables]
        trained.append([np.asarray(keras.ops.convert_to_numpy(one)).tobytes() for one in variables])
    assert trained[0] == trained[1]


@pytest.mark.filterwarnings("ignore:.*holds more than one number")
def test_logs_of_none_and_of_tensors_are_taken() -> None:
    """Whoever calls the hooks by hand may pass nothing, or numbers that are still tensors."""
    recorder = BarographCallback()
    recorder.set_model(None)
    recorder.on_train_begin(None)
    recorder.on_epoch_begin(0, None)
    recorder.on_epoch_end(0, None)
    recorder.on_epoch_begin(1)
    recorder.on_epoch_end(1, {"loss": keras.ops.ones(()), "parts": np.ones(3)})
    recorder.on_train_end(None)
    assert values("train/loss") == [1.0]
    assert values("epoch") == [0, 1]


def test_copies_of_a_used_callback_write_child_runs() -> None:
    """A deepcopy or unpickled callback holds nothing of the fit, keeps its form, and records a part of the same run."""
    recorder = BarographCallback(log_every=2)
    with barograph.init(quiet=True) as run:
        fit(build(), recorder, epochs=1)
        for copied in (copy.deepcopy(recorder), pickle.loads(pickle.dumps(recorder))):
            assert copied.async_safe
            assert copied.log_every == 2
            fit(build(), copied, epochs=1)
    assert [view.parent_id for view in runs()] == [None, run.id, run.id]


def test_models_can_be_saved_and_cloned_with_the_callback_around(tmp_path: Path) -> None:
    """A model that was recorded is a model like any other."""
    model = build()
    fit(model, BarographCallback())
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for one in (loaded, copy.deepcopy(model)):
        assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), model.get_weights(), strict=True))
    assert keras.models.clone_model(model).count_params() == model.count_params()


def test_nothing_of_the_data_is_kept() -> None:
    """After a fit, failed or not, the callback does not hold the data."""

    recorder = BarographCallback()

    def is_kept(*callbacks: Any) -> bool:
        data = Data()
        held = weakref.ref(data)
        try:
            build().fit(data, callbacks=list(callbacks), verbose=0)
        except ZeroDivisionError:
            pass
        del data
        gc.collect()
        return held() is not None

    by_keras = is_kept()  # tensorflow keeps what it made a data set of
    assert is_kept(recorder) == by_keras
    assert is_kept(recorder, raises(ZeroDivisionError)) == by_keras
