"""What stays of a training: the model as a file, the digest of its content, and a description of the data."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import xgboost
from xgboost import Booster, DMatrix

from barograph.integrations.xgboost.call import Call
from barograph.models import keep_model
from barograph.run import Run

_MOST_NAMES = 1000
# What was described, of matrices that still exist: their content stays as it is, and reading it copies it.
_described: WeakKeyDictionary[DMatrix, set[tuple[str, str, int]]] = WeakKeyDictionary()


def log_data(run: Run, call: Call) -> None:
    """Describe the sets that are trained on and evaluated, each matrix once in a run."""
    sets = [] if call.training is None else [(call.training_name, call.training)]
    if call.fit.get("call") != "cv":  # whose folds are parts of the training set
        sets += [(name, data) for name, data in call.evaluated if data is not call.training]
    for name, data in sets:
        about = hash((data.get_label().tobytes(), data.get_weight().tobytes()))  # these a user can set anew
        known = _described.setdefault(data, set())
        if (run.id, name, about) not in known:
            known.add((run.id, name, about))
            run.log_dataset(name, data)


def log_weights(run: Run, raws: Sequence[bytes | bytearray], step: int) -> None:
    """Keep the digest of the model, under cv() that of each fold."""
    names = ["booster"] if len(raws) == 1 else [f"booster/fold{fold}" for fold in range(len(raws))]
    run.log_weights(dict(zip(names, raws, strict=True)), step)


def log_model(
    run: Run,
    raw: bytes | bytearray,
    booster: Booster,
    objective: str | None,
    step: int,
    *,
    wished: bool | None,
    fit_s: float,
) -> str:
    """Keep the model as the artifact "model", in the file format that `Booster.load_model` reads; "kept", or why not.

    raw: what save_raw("ubj") gave. objective: None for one that is not XGBoost's. wished: the option log_model.
    """
    names, types = booster.feature_names, booster.feature_types
    inputs = {"shape": [None, booster.num_features()]}
    inputs |= {"names": names[:_MOST_NAMES]} if names else {}
    inputs |= {"types": types[:_MOST_NAMES]} if types else {}
    about = {
        "rounds": booster.num_boosted_rounds(),
        "features": booster.num_features(),
        "signature": {"inputs": inputs, "outputs": {"objective": objective}},
        **{name: value for name in ("best_iteration", "best_score") if (value := booster.attr(name)) is not None},
    }
    return keep_model(
        run,
        lambda path: path.write_bytes(raw),
        "model.ubj",
        framework="xgboost",
        version=xgboost.__version__,
        about=about,
        wished=wished,
        fit_s=fit_s,
        least_bytes=len(raw),
        step=step,
    )
