"""XGBoost on a dask cluster: what two workers that train one model leave behind."""

import subprocess
import sys
from pathlib import Path

import pytest

import barograph
from barograph.reading import RunView

pytest.importorskip("distributed", reason="needs dask[distributed]")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunView]:
    """The runs of all cases, by name; children by the names of their parents."""
    folder = tmp_path_factory.mktemp("dask")
    script = Path(__file__).with_name("xgboost_dask_cases.py")
    told = subprocess.run(
        [sys.executable, str(script), str(folder / "store")],
        cwd=folder, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert "training goes on" not in told.stderr
    views = barograph.open(folder / "store").runs()
    names = {view.id: view.name for view in views if view.parent_id is None}
    found = {view.name: view for view in views if view.parent_id is None}
    for view in reversed(views):
        if view.parent_id is not None:
            found[f"{names[view.parent_id]}/{len([key for key in found if key.startswith(names[view.parent_id])])}"] = (
                view
            )
    return found


def test_one_training_is_one_run_of_rank_0(trained: dict[str, RunView]) -> None:
    """The run has the name that the callback was given, each round once, and the model."""
    view = trained["alone"]
    assert view.status == "finished"
    assert view.metric("train/logloss").steps.tolist() == list(range(5))
    assert view.config["fit"]["workers"] == 2
    assert [table.key for table in view.tables() if table.key.startswith("predictions/")]
    assert [artifact.name for artifact in view.artifacts(kind="model")] == ["model"]


def test_a_second_training_is_a_child_of_the_first(trained: dict[str, RunView]) -> None:
    """Its rounds do not mix with those of the first."""
    assert trained["alone/1"].metric("train/logloss").steps.tolist() == [0, 1, 2]


def test_an_estimator_is_recorded(trained: dict[str, RunView]) -> None:
    """The set keeps the name that the wrapper gives it."""
    assert len(trained["estimator"].metric("validation_0/logloss").values) == 4


def test_within_an_open_run_a_training_is_its_child(trained: dict[str, RunView]) -> None:
    """Whether the run was found or given: it lives in another process than the workers."""
    assert trained["open"].status == "finished"
    for name in ("open/1", "open/2"):
        assert len(trained[name].metric("train/logloss").values) == 5


def test_a_failure_on_the_workers_makes_the_run_failed(trained: dict[str, RunView]) -> None:
    """The user's error is in the run, and reached the user."""
    view = trained["broken"]
    assert (view.status, view.end_reason) == ("failed", "ZeroDivisionError")
