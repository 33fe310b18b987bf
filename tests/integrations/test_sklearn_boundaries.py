"""autolog of scikit-learn: where it reaches, which run it writes to, and that nothing of it stays behind."""

import asyncio
import contextlib
import copy
import gc
import inspect
import pickle
import subprocess
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import sklearn.metrics
import sklearn.model_selection
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import barograph
from barograph.integrations.sklearn import Recording, autolog, wrapping
from barograph.reading import RunView

# scikit-learn 1.6 calls a newer SciPy as it should no longer be called.
pytestmark = pytest.mark.filterwarnings("ignore:scipy.optimize:DeprecationWarning")

X = np.random.default_rng(0).normal(size=(60, 4))
Y = (X[:, 0] > 0).astype(int)


def runs() -> list[RunView]:
    """All runs, oldest first."""
    return sorted(barograph.open().runs(), key=lambda view: view.created)


def fits(view: RunView) -> int:
    """How many fits a run holds."""
    return len(view.events("fit_end"))


def fit() -> DummyClassifier:
    """The smallest fit there is."""
    return DummyClassifier().fit(X, Y)


@pytest.fixture(autouse=True)
def _switched_off() -> Iterator[None]:
    yield
    autolog.disable()


# -- which run -------------------------------------------------------------------------------------------------------


def test_a_decorated_function_is_a_run_with_its_arguments() -> None:
    """Defaults included; what is large is told, not kept."""

    @autolog
    def train(data: Any, depth: int, *, speed: float = 0.5) -> int:
        fit()
        return depth

    assert train(np.zeros((1000, 10)), 3) == 3
    (view,) = runs()
    arguments = view.config["arguments"]
    assert (arguments["depth"], arguments["speed"]) == (3, 0.5)
    assert len(str(arguments["data"])) < 1000
    assert view.config["function"].endswith("train")
    assert (view.status, fits(view)) == ("finished", 1)


def test_the_decorator_takes_the_arguments_of_init() -> None:
    """For the run that each call makes."""

    @autolog(project="digits", tags=["tree"], quiet=True)
    def train() -> None:
        fit()

    train()
    train()
    assert [(view.project, view.tags, fits(view)) for view in runs()] == [("digits", ["tree"], 1)] * 2


def test_a_decorated_function_stays_itself() -> None:
    """Name, text and signature are the user's."""

    @autolog(quiet=True)
    def train(depth: int = 3) -> None:
        """Train."""

    assert (train.__name__, train.__doc__) == ("train", "Train.")
    assert str(inspect.signature(train)) == "(depth: int = 3) -> None"


class Trainer:
    """Has every kind of method."""

    @autolog(quiet=True)
    def plain(self, depth: int) -> Any:
        return fit(), self, depth

    @autolog(quiet=True)
    @classmethod
    def of_class(cls, depth: int) -> Any:
        return fit(), cls, depth

    @staticmethod
    @autolog(quiet=True)
    def static(depth: int) -> Any:
        return fit(), None, depth

    @autolog(quiet=True)
    @staticmethod
    def static_below(depth: int) -> Any:
        return fit(), None, depth


@pytest.mark.parametrize("name", ["plain", "of_class", "static", "static_below"])
def test_methods_of_every_kind_are_recorded(name: str) -> None:
    """The object or class they belong to is no argument."""
    trainer = Trainer()
    _, owner, depth = getattr(trainer, name)(4)
    assert depth == 4
    assert owner is {"plain": trainer, "of_class": Trainer}.get(name)
    (view,) = runs()
    assert view.config["arguments"] == {"depth": 4}
    assert fits(view) == 1


def test_an_open_run_is_used_and_left_open() -> None:
    """A block inside a block or inside the user's own run writes there."""
    with barograph.init(quiet=True, name="mine") as run:
        with autolog(name="other") as used, autolog() as inner:
            fit()
        assert used is inner is run
        assert not run.is_finished
    (view,) = runs()
    assert (view.name, fits(view)) == ("mine", 1)


def test_a_given_run_is_used() -> None:
    """Whatever else is open."""
    given = barograph.init(quiet=True, name="given")
    with barograph.init(quiet=True, name="current"), autolog(run=given):
        fit()
    given.finish()
    assert {view.name: fits(view) for view in runs()} == {"given": 1, "current": 0}


def test_callbacks_and_log_inside_a_block_join_its_run() -> None:
    """The run that autolog makes is the current one, and one that may be joined."""
    with autolog(quiet=True) as run:
        assert barograph.current_run() is run
        assert run.is_joinable
        barograph.log({"mine": 1.0})
    assert "mine" in runs()[0].metrics()


def test_a_block_may_be_entered_again() -> None:
    """Each time it makes a run, also inside itself."""
    block = autolog(quiet=True)
    for _ in range(2):
        with block as outer, block as inner:
            assert outer is inner
            fit()
    assert [fits(view) for view in runs()] == [1, 1]
    assert block.run is outer


@pytest.mark.parametrize(
    ("error", "status"), [(ZeroDivisionError("mine"), "failed"), (KeyboardInterrupt(), "interrupted")]
)
def test_an_exception_passes_untouched_and_ends_the_run(error: BaseException, status: str) -> None:
    """Failed for an error, interrupted for Ctrl-C; the wrappers are gone."""

    @autolog(quiet=True)
    def train() -> None:
        raise error

    before = vars(LogisticRegression)["fit"]
    with pytest.raises(type(error)) as raised:
        train()
    assert raised.value is error
    (view,) = runs()
    assert view.status == status
    assert view.events("exception")[0].data["type"] == type(error).__name__
    assert vars(LogisticRegression)["fit"] is before


def test_an_exception_of_a_fit_is_told_once() -> None:
    """It passes through the fit and through the block."""
    with pytest.raises(ValueError, match="Found"), autolog(quiet=True):
        LogisticRegression().fit(X, Y[:-1])
    (view,) = runs()
    assert len(view.events("exception")) == 1
    assert view.error is not None
    assert view.error.type == "ValueError"


def test_a_wrong_argument_is_said_at_once() -> None:
    """Where the decorator stands, not when training begins."""
    with pytest.raises(TypeError, match="projet"):
        autolog(projet="digits")


def test_a_wrong_call_of_a_decorated_function_raises_its_own_error() -> None:
    """Python's words about the user's function, with no warning of ours."""

    @autolog(quiet=True)
    def train(depth: int) -> None: ...

    with pytest.raises(TypeError, match="depth"):
        train()  # type: ignore[call-arg]  # that is the point


# -- coroutines, generators, threads ---------------------------------------------------------------------------------


def test_coroutines_that_run_together_make_runs_of_their_own() -> None:
    """Each task's fits go into its run."""

    @autolog(quiet=True)
    async def train(times: int) -> int:
        for _ in range(times):
            await asyncio.sleep(0)
            fit()
        return times

    async def all_of_them() -> list[int]:
        return list(await asyncio.gather(train(1), train(2), train(3)))

    assert asyncio.run(all_of_them()) == [1, 2, 3]
    assert sorted(fits(view) for view in runs()) == [1, 2, 3]


def test_what_happens_between_the_steps_of_a_generator_is_not_recorded() -> None:
    """And send, throw, close and the returned value pass through."""

    @autolog(quiet=True)
    def train(count: int) -> Iterator[Any]:
        told = []
        for _ in range(count):
            fit()
            try:
                told.append((yield len(told)))
            except ValueError as error:
                told.append(error)
        return told  # type: ignore[return-value]  # a generator's value

    steps: Any = train(3)
    assert next(steps) == 0
    fit()
    assert steps.send("a") == 1
    assert steps.throw(ValueError("b")) == 2
    with pytest.raises(StopIteration) as stop:
        steps.send("c")
    assert [str(one) for one in stop.value.value] == ["a", "b", "c"]
    left = train(5)
    next(left)
    left.close()  # type: ignore[attr-defined]  # it is a generator
    assert [(fits(view), view.status) for view in runs()] == [(3, "finished"), (1, "finished")]


def test_generators_that_take_turns_make_runs_of_their_own() -> None:
    """One started inside the other's pause does not join it."""

    @autolog(quiet=True)
    def train(count: int) -> Iterator[None]:
        for _ in range(count):
            fit()
            yield

    for _ in zip(train(3), train(2), strict=False):
        pass
    gc.collect()
    assert sorted(fits(view) for view in runs()) == [2, 3]


def test_an_asynchronous_generator_is_refused() -> None:
    """Its pauses cannot be told from its steps."""

    async def train() -> Any:
        yield 1

    with pytest.raises(TypeError, match="with autolog"):
        autolog(train)


def test_fits_of_other_threads_do_not_belong_to_a_block() -> None:
    """They are neither in its run nor in any other."""
    with autolog(quiet=True), ThreadPoolExecutor() as pool:
        pool.submit(fit).result()
        fit()
    assert [fits(view) for view in runs()] == [1]


def test_decorated_functions_in_two_threads_make_two_runs() -> None:
    """Also while both are at work."""
    both = threading.Barrier(2, timeout=30)

    @autolog(quiet=True)
    def train(times: int) -> None:
        both.wait()
        for _ in range(times):
            fit()
        both.wait()

    threads = [threading.Thread(target=train, args=(times,)) for times in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(fits(view) for view in runs()) == [1, 2]


# -- the switch for the process --------------------------------------------------------------------------------------


def test_enable_records_all_threads_until_disable(store: Path) -> None:
    """One run, made by the first fit; nothing before and nothing after."""
    autolog.enable(quiet=True, name="all")
    with pytest.warns(UserWarning, match="nothing"):
        warnings.warn("nothing that deserves a run", UserWarning, stacklevel=1)
    assert not store.exists()
    fit()
    thread = threading.Thread(target=fit)
    thread.start()
    thread.join()
    autolog.disable()
    fit()
    assert [(view.name, fits(view), view.status) for view in runs()] == [("all", 2, "finished")]


def test_enable_uses_the_run_that_is_open() -> None:
    """And leaves it open."""
    autolog.enable(quiet=True)
    with barograph.init(quiet=True, name="mine") as run:
        fit()
        autolog.disable()
        assert not run.is_finished
    assert [(view.name, fits(view)) for view in runs()] == [("mine", 1)]


def test_enabling_twice_and_disabling_twice_is_harmless() -> None:
    """The newer arguments count, and everything is put back once."""
    before = vars(DummyClassifier)["fit"]
    autolog.disable()
    autolog.enable(quiet=True, name="old")
    autolog.enable(quiet=True, name="new")
    fit()
    autolog.disable()
    autolog.disable()
    assert vars(DummyClassifier)["fit"] is before
    assert [view.name for view in runs()] == ["new"]


def test_work_that_scikit_learn_gives_to_threads_is_part_of_its_call() -> None:
    """Members that are fitted in joblib's threads are no fits of the user's."""
    autolog.enable(quiet=True)
    with joblib.parallel_backend("threading", n_jobs=2):
        BaggingClassifier(DecisionTreeClassifier(), n_estimators=4).fit(X, Y)
        GridSearchCV(DummyClassifier(), {"strategy": ["prior", "uniform"]}, cv=2).fit(X, Y)
    autolog.disable()
    (view,) = runs()
    assert [event.data["estimator"] for event in view.events("fit_end")] == ["BaggingClassifier", "GridSearchCV"]


# -- what is touched, and put back -----------------------------------------------------------------------------------


def _state() -> dict[str, Any]:
    """Everything that autolog may touch, as it is now."""
    classes = {owner for cls in wrapping._estimator_classes() for owner in cls.__mro__}
    state: dict[str, Any] = {
        f"{cls.__module__}.{cls.__qualname__}": [item for item in vars(cls).items() if item[0] != "__slotnames__"]
        for cls in classes  # that name Python keeps in the class of anything that is pickled
    }
    for cls in classes:
        for name, value in vars(cls).items():
            if hasattr(value, "fn"):
                state[f"{cls.__qualname__}.{name}.fn"] = value.fn
    for module in (sklearn.metrics, sklearn.model_selection):
        for name, value in vars(module).items():
            if isinstance(value, types.FunctionType):
                cells = [cell.cell_contents for cell in value.__closure__ or ()]
                state[f"{module.__name__}.{name}"] = (value, value.__code__, dict(vars(value)), cells)
    state["warnings"] = (warnings.showwarning, list(warnings.filters))
    return state


def test_everything_is_put_back_exactly() -> None:
    """The dictionaries of all classes, in their order, the functions' cells and the warnings' hook."""
    before = _state()
    with autolog(quiet=True), autolog():
        during = _state()
        make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y).score(X, Y)
        accuracy_score(Y, Y)
    after = _state()
    assert during != before
    assert list(after) == list(before) or set(after) == set(before)
    for name, value in before.items():
        assert after[name] == value, name


def test_estimators_and_functions_are_picklable_and_themselves_inside() -> None:
    """clone, deepcopy, pickle, joblib's hash and inspect see what they see outside."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=2.0))
    outside = (
        pickle.dumps(model),
        joblib.hash(model),
        inspect.signature(LogisticRegression.fit),
        inspect.signature(accuracy_score),
    )
    functions = (accuracy_score, cross_val_score)
    with autolog(quiet=True):
        inside = (
            pickle.dumps(model),
            joblib.hash(model),
            inspect.signature(LogisticRegression.fit),
            inspect.signature(accuracy_score),
        )
        assert (sklearn.metrics.accuracy_score, sklearn.model_selection.cross_val_score) == functions
        assert pickle.loads(pickle.dumps(functions)) == functions
        assert pickle.loads(pickle.dumps(LogisticRegression.fit)) is LogisticRegression.fit
        copies = [clone(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
        assert pickle.loads(pickle.dumps(model.fit)).__self__.get_params()["logisticregression__C"] == 2.0
        model.fit(X, Y)
        fitted = pickle.dumps(model)
    assert inside == outside
    assert all(str(one) == str(copies[0]) for one in copies)
    assert b"barograph" not in fitted


def test_methods_that_depend_on_a_parameter_still_do() -> None:
    """available_if: a search has `predict_proba` exactly when its estimator has one."""
    with autolog(quiet=True):
        search = GridSearchCV(DummyRegressor(), {"strategy": ["mean"]}, cv=2).fit(X, Y)
        assert not hasattr(search, "predict_proba")
        assert search.predict(X).shape == (60,)
    assert "time/predict_s" in runs()[0].metrics()


def test_classes_that_come_into_being_inside_are_recorded_and_put_back() -> None:
    """Imported or defined after the block began."""
    with autolog(quiet=True):

        class Late(TransformerMixin, BaseEstimator):
            def fit(self, X: Any, y: Any = None) -> Any:
                self.n_features_in_ = 4
                return self

            def transform(self, X: Any) -> Any:
                return X

        Late().fit(X)
        Late().fit_transform(X)
        Late().fit(X).transform(X)
    (view,) = runs()
    assert [event.data["method"] for event in view.events("fit_end")] == ["fit", "fit_transform", "fit"]
    assert "time/transform_s" in view.metrics()
    assert vars(Late)["fit"].__code__.co_filename == __file__
    assert inspect.unwrap(vars(Late)["transform"]).__code__.co_filename == __file__
    assert wrapping._undo == []


def test_a_method_that_was_copied_inside_works_afterwards() -> None:
    """It passes through, and records nothing twice in the next block."""
    with autolog(quiet=True):
        borrowed = vars(DummyClassifier)["fit"]

    class Borrows(DummyClassifier):
        fit = borrowed

    Borrows().fit(X, Y)
    with autolog(quiet=True):
        Borrows().fit(X, Y)
    assert [fits(view) for view in runs()] == [0, 1]


def test_what_the_user_puts_in_place_inside_stays() -> None:
    """A patch of the user's own is not overwritten by ours."""
    original = vars(DummyClassifier)["score"]

    def score(self: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
        return 0.5

    try:
        with autolog(quiet=True):
            DummyClassifier.score = score  # type: ignore[method-assign]
        assert vars(DummyClassifier)["score"] is score
    finally:
        DummyClassifier.score = original  # type: ignore[method-assign]


def test_workers_of_a_pool_fit_classes_of_the_users_script(tmp_path: Path) -> None:
    """loky takes the class along by value, wrapped as it is; nothing hangs, and the search is recorded."""
    script = tmp_path / "train.py"
    script.write_text(_SCRIPT)
    command = [sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["3", "True"]
    (view,) = runs()
    assert [event.data["estimator"] for event in view.events("fit_end")] == ["GridSearchCV"]
    assert view.status == "finished"


_SCRIPT = """
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import GridSearchCV
from barograph.integrations.sklearn import autolog


class Mine(ClassifierMixin, BaseEstimator):
    def __init__(self, shift=0.0):
        self.shift = shift

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return (X[:, 0] > self.shift).astype(int)


def main():
    X = np.random.default_rng(0).normal(size=(40, 2))
    y = (X[:, 0] > 0).astype(int)
    with autolog(quiet=True):
        scoring = make_scorer(accuracy_score)
        search = GridSearchCV(Mine(), {"shift": [0.0, 1.0, 2.0]}, cv=2, n_jobs=2, scoring=scoring).fit(X, y)
    print(len(search.cv_results_["params"]), search.best_params_["shift"] == 0.0)


if __name__ == "__main__":
    main()
"""


@pytest.mark.expects_guard
def test_an_error_of_ours_in_a_nested_fit_does_not_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even from code that is no guarded method."""
    from barograph.integrations.sklearn import calls

    def broken(*_: object) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(calls.Part, "begin_inner", broken)
    with autolog(quiet=True), pytest.warns(barograph.BarographWarning, match="ours"):
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    assert model.score(X, Y) > 0.5
    assert fits(runs()[0]) == 1


class Grumpy(BaseEstimator):
    """An estimator of the user's that nothing can be asked."""

    def __repr__(self, **_: Any) -> str:
        raise RuntimeError("the user's own")

    @property
    def classes_(self) -> Any:
        """There are none to be had."""
        raise RuntimeError("the user's own")

    def fit(self, X: Any, y: Any) -> Any:
        """Learn nothing."""
        return self


def test_an_estimator_whose_own_words_raise_is_recorded() -> None:
    """Its fit has an end all the same."""
    with autolog(quiet=True) as run:
        Grumpy().fit(X, Y)
    (end,) = barograph.open().run(run.id).events("fit_end")
    assert (end.data["estimator"], end.data["reason"], end.data["classes"]) == ("Grumpy", "completed", None)


def test_the_recording_may_be_copied() -> None:
    """It holds arguments only."""
    block = autolog(quiet=True, project="digits")
    for one in (copy.deepcopy(block), pickle.loads(pickle.dumps(block))):
        assert isinstance(one, Recording)
        with one:
            fit()
    assert [view.project for view in runs()] == ["digits", "digits"]


def test_a_user_who_catches_warnings_inside_catches_them() -> None:
    """Our hook gives way to `catch_warnings`, and comes back after it."""
    with autolog(quiet=True):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.warn("caught", UserWarning, stacklevel=1)
        with contextlib.suppress(UserWarning):
            warnings.warn("raised, for pytest makes it an error", UserWarning, stacklevel=1)
    assert len(caught) == 1
    assert not runs()[0].events("warning")


def test_calls_in_code_that_nobody_records_are_passed_through() -> None:
    """While another thread's block has the wrappers in place."""
    inside, done = threading.Event(), threading.Event()

    def block() -> None:
        with autolog(quiet=True):
            inside.set()
            done.wait(30)

    thread = threading.Thread(target=block)
    thread.start()
    inside.wait(30)
    call: Callable[[], Any] = fit
    assert call().predict(X).shape == (60,)
    done.set()
    thread.join()
    assert fits(runs()[0]) == 0
