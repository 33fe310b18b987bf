"""What is known of torch's datasets and loaders without asking them for an item.

An item may cost a read, a transform or random numbers, and those belong to the training. Tensors that lie in a
TensorDataset, or in a Subset of one, are read as they lie. torch itself is looked up, never imported.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import table_of_tensor
from .table import Table


def _kinds() -> Any:  # Any: core does not import torch
    """The module of torch's dataset classes, if anybody has imported it."""
    return sys.modules.get("torch.utils.data")


def is_loader(data: object) -> bool:
    """Whether it is a DataLoader, or a loader that is built like one."""
    return all(hasattr(data, name) for name in ("dataset", "batch_size", "num_workers", "sampler"))


def is_dataset(data: object) -> bool:
    """Whether it is one of torch's datasets."""
    kinds = _kinds()
    return kinds is not None and isinstance(data, kinds.Dataset)


def about_loader(loader: Any) -> dict[str, Any]:  # Any: core does not import torch
    """How a loader takes items from its dataset."""
    return {
        "batch_size": loader.batch_size,
        "sampler": type(loader.sampler).__name__,
        "workers": loader.num_workers,
        "drop_last": bool(getattr(loader, "drop_last", False)),
    }


def tables_of_dataset(dataset: Any) -> list[Table] | None:  # Any: core does not import torch
    """The tensors of a TensorDataset, or the rows of them that a Subset takes; None for any other dataset."""
    kinds = _kinds()
    places: NDArray[np.int64] | None = None
    while type(dataset) is kinds.Subset:
        own = np.asarray(dataset.indices)
        if own.ndim != 1 or own.dtype.kind not in "iu":
            return None
        places = own.astype(np.int64) if places is None else own.astype(np.int64)[places]
        dataset = dataset.dataset
    if type(dataset) is not kinds.TensorDataset:
        return None
    return [table_of_tensor(tensor, places) for tensor in dataset.tensors]


def about_dataset(dataset: Any) -> dict[str, Any]:  # Any: core does not import torch
    """What else tells a dataset from another: of a Subset, which items of what it takes."""
    import xxhash

    kinds = _kinds()
    if type(dataset) is kinds.Subset:
        places = np.ascontiguousarray(dataset.indices)
        base = dataset.dataset
        of = {"kind": type(base).__qualname__, "rows": length(base)} | about_dataset(base)
        return {"indices": xxhash.xxh3_128_hexdigest(places.tobytes()), "of": of}
    if type(dataset) is kinds.ConcatDataset:
        return {"of": [{"kind": type(one).__qualname__, "rows": length(one)} for one in dataset.datasets[:100]]}
    return {}


def length(data: Any) -> int | None:  # Any: whatever a user trains on
    """How long it says it is; None if it does not say, or cannot, or is a text, such as a path."""
    if isinstance(data, (str, bytes)):
        return None
    try:
        shape = getattr(data, "shape", None)
        return int(shape[0]) if shape is not None and len(shape) else len(data)
    except Exception:  # noqa: BLE001  # a user's class may raise anything
        return None
