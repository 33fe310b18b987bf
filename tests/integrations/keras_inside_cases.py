"""What BarographCallback sees inside a model, on the back end that KERAS_BACKEND names; run by test_keras.py."""

import functools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

import barograph
from barograph.integrations.keras import BarographCallback, gradients, inside
from barograph.reading import RunView
from barograph.voice import BarographWarning

BACKEND = keras.backend.backend()
ROWS, BATCH = 40, 16  # three batches, the last of eight
EVERY = {"log_every": 1}
KINDS = ("weights", "gradients", "updates", "activations")
NOT_ON_TORCH = pytest.mark.skipif(BACKEND == "torch", reason="Keras on torch has no such thing, or takes long for it")
pytestmark = [
    # Keras and what it stands on use what numpy, jax or torch are about to take away
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    # Keras says so at the end of every generator of unknown length
    pytest.mark.filterwarnings("ignore:Your input ran out of data"),
]


def draw() -> tuple[Any, Any]:
    """Inputs and targets."""
    x = np.random.default_rng(0).normal(size=(ROWS, 4)).astype("float32")
    return x, x[:, :2] * 2


def build(optimizer: Any = "sgd", kind: type[Any] = keras.Sequential, **compile_arguments: Any) -> Any:
    """A small seeded network with state of its own, compiled."""
    keras.utils.set_random_seed(3)
    model = kind(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, activation="relu", name="hidden"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dropout(0.2, name="drop"),
            keras.layers.Dense(2, name="out"),
        ]
    )
    # jax is slowest where it compiles each operation, the others where they compile the step
    model.compile(optimizer, "mse", **{"jit_compile": BACKEND == "jax", **compile_arguments})
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


def arrays(several: Any) -> list[Any]:
    """The values of variables, copied."""
    return [np.array(keras.ops.convert_to_numpy(one)) for one in several]


class Subclassed(keras.Model):  # type: ignore[misc]  # Keras has no annotations
    """A model that builds itself when it sees its first batch, with a step of its own."""

    def __init__(self, layers: list[Any]) -> None:
        super().__init__()
        self.block = keras.Sequential(layers[1:4])
        self.head = layers[-1]

    def call(self, x: Any) -> Any:
        """Inputs to outputs."""
        return self.head(self.block(x))

    def train_step(self, *arguments: Any) -> Any:
        """What a step is, whatever the back end passes to it."""
        return super().train_step(*arguments)


class Still(keras.Sequential):  # type: ignore[misc]  # as above
    """A model whose step trains nothing."""

    def train_step(self, *arguments: Any) -> Any:
        """A step that only evaluates."""
        if BACKEND != "jax":
            return super().test_step(*arguments)
        (trainable, others, own, metrics), data = arguments
        logs, (trainable, others, metrics) = super().test_step((trainable, others, metrics), data)
        return logs, (trainable, others, own, metrics)


class Broken(keras.Sequential):  # type: ignore[misc]  # as above
    """A model whose step fails."""

    def train_step(self, *arguments: Any) -> Any:
        """Fail."""
        raise ZeroDivisionError("the user's own")


class Does(keras.callbacks.Callback):  # type: ignore[misc]  # as above
    """The user's own code at the end of each epoch."""

    def __init__(self, action: Any) -> None:
        super().__init__()
        self.action = action

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Do it."""
        self.action(self._model)  # self.model would make jax write its state back


def check_gradients(model: Any, rate: float, tolerance: float = 1e-5, **data: Any) -> None:
    """One batch of plain gradient descent: each weight moved by the rate times the gradient that was written."""
    before = arrays(model.trainable_variables)
    fit(model, BarographCallback(watch=EVERY), epochs=1, batch_size=ROWS, **data)
    after = arrays(model.trainable_variables)
    for variable, old, new in zip(model.trainable_variables, before, after, strict=True):
        moved = (old.astype(np.float64) - new) / rate
        key = f"gradients/{variable.path.removeprefix(model.name + '/')}"
        found = [values(f"{key}/{figure}")[0] for figure in ("norm", "mean", "std")]
        room = tolerance * float(np.linalg.norm(moved))
        assert found == pytest.approx([np.linalg.norm(moved), moved.mean(), moved.std()], abs=room), key


# -- what is seen ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=NOT_ON_TORCH)])
def test_the_gradients_are_those_that_the_fit_used(jit_compile: bool) -> None:
    """What gradient descent took from the weights, over its rate."""
    check_gradients(build(keras.optimizers.SGD(0.5), jit_compile=jit_compile), 0.5)


def test_gradients_are_without_the_loss_scale() -> None:
    """Of an optimiser that scales the loss, whose scale doubles in the very step."""
    scaled = keras.mixed_precision.LossScaleOptimizer(
        keras.optimizers.SGD(0.5), initial_scale=64, dynamic_growth_steps=1
    )
    check_gradients(build(scaled), 0.5)


def test_gradients_are_without_a_constant_loss_scale() -> None:
    """Of an optimiser with loss_scale_factor."""
    check_gradients(build(keras.optimizers.SGD(0.5, loss_scale_factor=8)), 0.5)


def test_gradients_of_half_precision_are_found() -> None:
    """Under the mixed_float16 policy, to the precision of its gradients."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        check_gradients(build(keras.optimizers.SGD(0.5)), 0.5)
    finally:
        keras.config.set_dtype_policy("float32")


def test_gradients_of_an_embedding_are_whole() -> None:
    """Also where the back end keeps only the rows that were looked up."""
    keras.utils.set_random_seed(3)
    layers = [keras.Input((3,)), keras.layers.Embedding(10, 4), keras.layers.Flatten(), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.SGD(0.5), "mse", jit_compile=BACKEND == "jax")
    check_gradients(model, 0.5, x=np.arange(ROWS * 3).reshape(ROWS, 3) % 7, y=np.ones((ROWS, 1), "float32"))


def test_the_keys_are_the_same_on_every_back_end() -> None:
    """Weights, gradients, updates and activations of each layer, by path, as points and as histograms."""
    fit(build(), BarographCallback(watch=EVERY), epochs=1)
    trained = ["hidden/kernel", "hidden/bias", "norm/gamma", "norm/beta", "out/kernel", "out/bias"]
    kept = [*trained, "norm/moving_mean", "norm/moving_variance"]
    layers = ["hidden", "norm", "drop", "out"]
    expected = {f"weights/{name}/{figure}" for name in kept for figure in ("norm", "mean", "std")}
    expected |= {f"gradients/{name}/{figure}" for name in trained for figure in ("norm", "mean", "std")}
    expected |= {f"activations/{name}/{figure}" for name in layers for figure in ("zero_fraction", "mean", "std")}
    expected |= {"weights/norm", "gradients/norm", "activations/hidden/dead_units"}
    ratios = {f"updates/{name}/ratio" for name in trained}
    metrics = {key for key in only_run().metrics() if key.partition("/")[0] in KINDS}
    assert metrics - ratios == expected
    assert metrics & ratios == ratios
    assert set(only_run().histograms()) == {
        *(f"weights/{name}" for name in kept),
        *(f"gradients/{name}" for name in trained),
        *(f"activations/{name}" for name in layers),
    }
    assert event("watch_start")["without"] == {}


def test_weights_and_updates_are_those_of_the_step() -> None:
    """The weights after the last batch, and how far it moved them."""
    model, seen = build(keras.optimizers.SGD(0.5)), []
    before = arrays(model.trainable_variables)
    fit(model, BarographCallback(watch=EVERY), epochs=1, batch_size=ROWS)
    for variable, old, new in zip(model.trainable_variables, before, arrays(model.trainable_variables), strict=True):
        name = variable.path.removeprefix(model.name + "/")
        assert values(f"weights/{name}/norm") == pytest.approx([np.linalg.norm(new)], rel=1e-6)
        if np.linalg.norm(old) > 0:
            seen.append(name)
            expected = np.linalg.norm(new.astype(np.float64) - old) / np.linalg.norm(old)
            assert values(f"updates/{name}/ratio") == pytest.approx([expected], rel=1e-6)
    assert len(seen) == 3


def test_activations_are_those_of_the_step() -> None:
    """Zeros behind a ReLU, and the units that never fired in the epoch."""
    model = build()
    kernel, bias = arrays(model.get_layer("hidden").weights)
    model.get_layer("hidden").set_weights([kernel, bias - np.array([100, 100, 0, 0, 0, 0, 0, 0])])
    x, _ = draw()
    outputs = arrays([model.get_layer("hidden")(x)])[0]
    fit(model, BarographCallback(watch=EVERY), epochs=1, batch_size=ROWS)
    assert values("activations/hidden/mean") == pytest.approx([outputs.mean()], rel=1e-5)
    assert values("activations/hidden/zero_fraction") == pytest.approx([(outputs == 0).mean()])
    assert values("activations/hidden/dead_units") == [2]


def test_frozen_weights_have_no_gradient() -> None:
    """A layer that is not trained is seen by its weights alone."""
    model = build()
    model.get_layer("hidden").trainable = False
    model.compile("sgd", "mse", jit_compile=BACKEND == "jax")
    fit(model, BarographCallback(watch=EVERY), epochs=1)
    assert "weights/hidden/kernel/norm" in only_run().metrics()
    assert "gradients/out/kernel/norm" in only_run().metrics()
    assert not any(key.startswith(("gradients/hidden", "updates/hidden")) for key in only_run().metrics())


def test_a_model_of_the_users_own_is_seen_as_any_other() -> None:
    """A subclassed model that builds itself and has a train_step around Keras' own; on jax without activations."""
    fit(build(kind=Subclassed), BarographCallback(watch=EVERY), epochs=1)
    assert (
        len([key for key in only_run().metrics() if key.startswith("gradients/") and key.endswith("/kernel/norm")]) == 2
    )
    assert list(event("watch_start")["without"]) == (["activations"] if BACKEND == "jax" else [])


def test_a_step_that_goes_past_the_optimiser_is_said_to() -> None:
    """Without gradients in sight the rest is seen, and an event says why."""
    fit(build(kind=Still), BarographCallback(watch=EVERY), epochs=1)
    assert "optimiser of compile()" in event("watch_start")["without"]["gradients"]
    assert "weights/hidden/kernel/norm" in only_run().metrics()
    assert not any(key.startswith("gradients/") for key in only_run().metrics())


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # dynamo looks at every attribute
def test_a_compiled_step_of_torch_shows_its_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.compile is left whole: gradients and weights are seen beside it, activations are said not to be."""
    torch = pytest.importorskip("torch")
    if BACKEND != "torch" or tuple(map(int, keras.__version__.split(".")[:2])) < (3, 10):
        pytest.skip("of torch alone, whose dynamo does not get through older versions")
    # The real dynamo; its usual code generator would take a minute more.
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.SGD(0.5), "mse", jit_compile=True)
    check_gradients(model, 0.5)
    assert list(event("watch_start")["without"]) == ["activations"]


# -- when ------------------------------------------------------------------------------------------------------------


def test_a_fixed_period_decides_the_steps() -> None:
    """Every second step after the first ones, counted over epochs; histograms less often."""
    watch = {"log_every": 4, "histogram_every": 8, "first_steps": 3}
    fit(build(), BarographCallback(watch=watch), epochs=5)
    assert steps("gradients/norm") == [1, 2, 3, 5, 9, 13]
    assert only_run().histogram("gradients/out/kernel").steps.tolist() == [1, 9]


@pytest.mark.parametrize("worst", [1e4, np.nan])
def test_the_step_after_a_loss_that_leaps_is_looked_into(worst: float) -> None:
    """One batch far off, or no number, among many: the look comes with the next step that knows of it."""
    x, y = np.tile(draw()[0], (2, 1)), np.tile(draw()[1], (2, 1))
    y[40:44] = worst
    watch = {"log_every": 1000, "first_steps": 0}
    model = build(keras.optimizers.SGD(1e-12))
    waits = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)  # or jax is some steps ahead
    fit(model, BarographCallback(watch=watch), waits, epochs=1, x=x, y=y, batch_size=4, shuffle=False)
    assert steps("weights/norm") == [1, 2, 3, 12]


@NOT_ON_TORCH
def test_several_batches_an_execution_give_what_the_last_one_has() -> None:
    """Gradients stand at the step of the last batch; updates span several and are left out."""
    fit(build(steps_per_execution=2), BarographCallback(watch=EVERY))
    assert steps("gradients/norm") == steps("weights/norm") == [2, 3, 5, 6]
    assert list(event("watch_start")["without"]) == ["updates"]


def test_accumulated_gradients_are_those_of_a_batch_and_updates_those_that_happen() -> None:
    """Every batch has gradients; ratios stand where the optimiser stepped."""
    fit(build(keras.optimizers.SGD(0.5, gradient_accumulation_steps=2)), BarographCallback(watch=EVERY))
    assert steps("gradients/norm") == [1, 2, 3, 4, 5, 6]
    assert steps("updates/hidden/kernel/ratio") == [2, 4, 6]
    assert event("watch_start")["gradients_are_of"].startswith("single batches")


def test_data_that_end_in_a_look_end_the_epoch() -> None:
    """A generator of unknown length, whose end every look runs into."""
    x, y = draw()

    def batches() -> Iterator[Any]:
        for first in range(0, ROWS, 8):
            yield x[first : first + 8], y[first : first + 8]

    build().fit(batches(), shuffle=False, callbacks=[BarographCallback(watch=EVERY)], verbose=0)
    assert steps("gradients/norm") == [1, 2, 3, 4, 5]
    assert only_run().status == "finished"


# -- leaving the training alone --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"optimizer": "adam"}, id="adam"),
        pytest.param({"optimizer": lambda: keras.optimizers.SGD(0.1, momentum=0.9, clipnorm=0.1)}, id="clipping"),
        pytest.param({"optimizer": lambda: keras.optimizers.Adam(gradient_accumulation_steps=2)}, id="accumulation"),
        pytest.param(
            {"optimizer": lambda: keras.mixed_precision.LossScaleOptimizer(keras.optimizers.Adam())},
            id="scale",
        ),
        pytest.param({"steps_per_execution": 2}, id="executions", marks=NOT_ON_TORCH),
    ],
)
def test_the_training_is_the_same_to_the_bit(arguments: dict[str, Any]) -> None:
    """Weights, optimiser, state of layers and losses over two fits, every step looked into or none."""
    trained = []
    for watch in (False, EVERY):
        optimizer = arguments.get("optimizer", "sgd")
        rest = {name: value for name, value in arguments.items() if name != "optimizer"}
        model = build(optimizer() if callable(optimizer) else optimizer, **rest)
        losses = [fit(model, BarographCallback(watch=watch)).history["loss"] for _ in range(2)]
        everything = arrays([*model.variables, *model.optimizer.variables])
        trained.append((losses, [one.tobytes() for one in everything]))
    assert trained[0] == trained[1]


@pytest.mark.parametrize(
    "watch", [False, {"gradients": False, "weights": False, "updates": False, "activations": False}]
)
def test_nothing_is_touched_where_nothing_is_wanted(watch: Any) -> None:
    """The step is Keras' own."""
    names = []
    fit(build(), BarographCallback(watch=watch), Does(lambda model: names.append(model.train_function.__module__)))
    assert all(name.startswith("keras.") for name in names)
    assert not any(key.partition("/")[0] in KINDS for key in only_run().metrics())


@pytest.mark.parametrize("ends", [True, False])
def test_the_plain_step_is_back_afterwards(ends: bool) -> None:
    """After a fit that came to its end, and after one that died."""
    seen = []

    def look(model: Any) -> None:
        seen.append(model.train_function)
        if not ends:
            raise ZeroDivisionError

    model = build()
    try:
        fit(model, BarographCallback(watch=EVERY), Does(look))
    except ZeroDivisionError:
        pass
    assert seen[0].__module__.startswith("barograph.")
    assert model.train_function.__module__.startswith("keras.")
    fit(model, epochs=1)


def test_compiling_in_the_midst_of_a_fit_drops_the_looks() -> None:
    """Nothing old is put back into a model that was compiled anew."""
    model = build()
    fit(model, BarographCallback(watch=EVERY), Does(lambda model: model.compile("adam", "mse")), epochs=1)
    assert model.train_function is None


def test_the_unlogged_step_is_the_one_that_keras_made() -> None:
    """One program was made for it, and one more for the steps that are looked into."""
    model, called = build(), []
    fit(model, epochs=1)
    plain = model.train_function

    def counting(*arguments: Any) -> Any:
        called.append(1)
        return plain(*arguments)

    model.train_function = counting
    fit(model, BarographCallback(watch={"log_every": 100, "first_steps": 1}), epochs=2)
    assert model.train_function is counting
    assert len(called) == (6 if BACKEND == "torch" else 3)


@pytest.mark.expects_guard
@pytest.mark.parametrize("fails", ["listening", "looking", "sampling"])
def test_a_failure_of_ours_ends_the_looks_and_not_the_fit(fails: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fails: one warning, then the plain step for good, the training the same to the bit."""
    plain = build()
    fit(plain)
    owner, name = {
        "listening": (gradients, "_scale"),
        "looking": (inside.Taken, "points"),
        "sampling": (inside, "samples"),
    }[fails]

    def fail(*arguments: Any) -> Any:
        raise RuntimeError("ours")

    monkeypatch.setattr(owner, name, fail)
    model = build()
    with pytest.warns(BarographWarning, match="ours") as warned:
        fit(model, BarographCallback(watch=EVERY))
    assert len([one for one in warned if one.category is BarographWarning]) == 1
    assert all(np.array_equal(a, b) for a, b in zip(arrays(model.variables), arrays(plain.variables), strict=True))
    assert not any(key.startswith("gradients/") for key in only_run().metrics())


@NOT_ON_TORCH
@pytest.mark.expects_guard
def test_a_twin_that_cannot_be_compiled_is_replaced_by_the_plain_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """No batch is lost and no step done twice."""
    plain = build()
    fit(plain)

    def fail(*arguments: Any) -> Any:
        raise RuntimeError("ours")

    monkeypatch.setattr(gradients, "_with_logs", fail)
    model = build()
    with pytest.warns(BarographWarning, match="ours"):
        fit(model, BarographCallback(watch=EVERY))
    assert all(np.array_equal(a, b) for a, b in zip(arrays(model.variables), arrays(plain.variables), strict=True))


@pytest.mark.expects_guard
def test_an_error_in_the_users_step_is_the_users() -> None:
    """It leaves the fit as it is, and is no failure of ours."""
    with pytest.raises(ZeroDivisionError, match="the user's own"):
        fit(build(kind=Broken), BarographCallback(watch=EVERY))
    assert only_run().status == "failed"
