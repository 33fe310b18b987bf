"""Keras on each of its back ends, in a process each, because the choice is made before Keras is imported."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import barograph

CASES = [str(path) for path in sorted(Path(__file__).parent.glob("keras_*cases.py"))]


def run_code(code: str) -> subprocess.CompletedProcess[str]:
    """A process of its own that runs `code`, on torch."""
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
def test_every_case_holds_on(backend: str) -> None:
    """All that lies beside this file as keras_cases.py and keras_*_cases.py passes on the back end."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"the {backend} back end is not installed: pip install {backend}")
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    del environment["BAROGRAPH_STORE"]  # each case has its own
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *CASES, "-q", "-p", "no:cacheprovider"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout[-20_000:] + ended.stderr[-2_000:]


def test_a_process_ended_by_ctrl_c_leaves_an_interrupted_run(store: Path) -> None:
    """A KeyboardInterrupt that nobody handles is what the run ended by, with its traceback."""
    code = """if True:
        import keras, numpy
        from barograph.integrations.keras import BarographCallback

        def press(epoch, logs):
            raise KeyboardInterrupt

        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        x, pressed = numpy.ones((8, 2)), keras.callbacks.LambdaCallback(on_epoch_end=press)
        model.fit(x, x[:, :1], verbose=0, callbacks=[BarographCallback(quiet=True), pressed])
    """
    ended = run_code(code)
    assert "KeyboardInterrupt" in ended.stderr
    (view,) = barograph.open().runs()
    assert view.status == "interrupted"
    assert view.error is not None
    assert view.error.type == "KeyboardInterrupt"


def test_tensorflow_is_not_imported_for_another_back_end(store: Path) -> None:
    """A fit on torch is recorded, described and evaluated without tensorflow, installed or not."""
    code = """if True:
        import sys, keras, numpy
        from barograph.integrations.keras import BarographCallback
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_regularizer="l2")])
        schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
        model.compile(keras.optimizers.SGD(schedule), keras.losses.MeanSquaredError())
        x, callbacks = numpy.ones((8, 2)), [BarographCallback(quiet=True, log_every=1)]
        model.fit(x, x[:, :1], verbose=0, callbacks=callbacks)
        model.evaluate(x, x[:, :1], verbose=0, callbacks=callbacks)
        assert "tensorflow" not in sys.modules
    """
    ended = run_code(code)
    assert ended.returncode == 0, ended.stderr
    assert barograph.open().runs()[0].config["optimizer"]["learning_rate"]["decay_rate"] == 0.9


def test_without_keras_the_extra_is_named() -> None:
    """Importing the integration where Keras is missing says what to install."""
    code = "import sys; sys.modules['keras'] = None; import barograph.integrations.keras"
    ended = run_code(code)
    assert ended.stderr.strip().endswith("pip install 'barograph[keras]'")
