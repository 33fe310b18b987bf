"""A few fixed rows of the data that a model is looked at with: spread evenly over a set, cut out once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from xgboost import DMatrix
from xgboost.core import DataSplitMode, XGBoostError

from barograph.integrations.xgboost.call import Call

_MOST_CELLS = 20_000_000  # a copy of which takes about a second, and 160 MB


class Rows(NamedTuple):
    """Rows of a data set. data: these rows alone, or all where XGBoost cannot cut them out. labels: None if none."""

    name: str
    data: DMatrix
    indices: NDArray[np.int64]
    labels: NDArray[Any] | None
    is_cut: bool


def chosen_rows(call: Call, count: int) -> list[Rows]:
    """Rows of the last set that is not trained on, else of the training set; under cv() of every fold's test set.

    None of a set that is empty, or that other workers would have to predict with us.
    """
    sets = call.evaluated or [(call.training_name, call.training)]
    if call.fit.get("call") != "cv":
        sets = ([one for one in sets if one[1] is not call.training] or sets)[-1:]
    return [
        _cut_out(name, data, count)
        for name, data in sets
        if data is not None and data.num_row() and data.data_split_mode() == DataSplitMode.ROW
    ]


def _cut_out(name: str, data: DMatrix, count: int) -> Rows:
    rows = data.num_row()
    indices = np.unique(np.linspace(0, rows - 1, min(count, rows)).astype(np.int64))
    labels = data.get_label()
    own = labels.reshape(rows, -1)[indices] if labels.size and labels.size % rows == 0 else None
    try:
        return Rows(name, data.slice(indices.tolist(), allow_groups=True), indices, own, is_cut=True)
    except XGBoostError:  # quantized data and external memory
        return Rows(name, data, indices, own, is_cut=False)


def cut_out_of_bins(rows: Rows) -> Rows:
    """The rows alone also of quantized data: in place of each value one of its bin, which no tree tells apart.

    Raises XGBoostError where that cannot be had: external memory, or data that is too large to be copied for it.
    """
    data = rows.data
    if rows.is_cut:
        return rows
    if data.num_row() * data.num_col() > _MOST_CELLS:
        raise XGBoostError(f"rows of quantized data with more than {_MOST_CELLS} cells are not cut out")
    own = DMatrix(
        data.get_data()[rows.indices],
        feature_names=data.feature_names,
        feature_types=data.feature_types,
        enable_categorical=True,
    )
    return rows._replace(data=own, is_cut=True)
