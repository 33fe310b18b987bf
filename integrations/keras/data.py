"""The data sets of a call: arrays are described whole, others by the batches that pass anyway, the first time."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras

from barograph.guard import guarded
from barograph.integrations.keras.batches import Batches
from barograph.integrations.keras.plain import class_of
from barograph.integrations.keras.predictions import Rows
from barograph.run import Run

# Any, throughout: whatever users train on
_UNSEEN = "tensorflow fetches the batches inside its compiled step; nothing is read for our sake"


class DataSets:
    """What one call of fit, evaluate or predict is given. Nothing is read, drawn or iterated that would not be anyway.

    rows: by name of a data set, the rows that predictions are wanted of. Keeps no data but these.
    """

    def __init__(self, run: Run, wanted: int) -> None:
        """wanted: how many rows to keep of each data set."""
        self.run = run
        self.rows: dict[str, Rows] = {}
        self._wanted = wanted
        self._begun: set[str] = set()
        self._said: set[str] = set()
        self._open: dict[str, Any] = {}

    def is_new(self, name: str) -> bool:
        """Whether a data set of this name has not been begun."""
        return name not in self._begun

    def wants_word(self, name: str) -> bool:
        """Whether it is to be said that no rows of a data set can be had; asked once."""
        is_said, self._said = name in self._said, self._said | {name}
        return not is_said

    @guarded
    def begin(self, name: str, batches: Batches | None, x: Any, y: Any = None, sample_weight: Any = None) -> None:
        """A pass over a data set begins; only the first one is looked at. batches: what it comes in, if not arrays."""
        if not self.is_new(name):
            return
        if not are_arrays(x):
            if batches is not None:
                self._begun.add(name)
                self._begin_stream(name, batches, x)
            return
        self._begun.add(name)
        if self._wanted:
            self.rows[name] = rows = Rows(self._wanted)
            rows.add(x, y)
        self.run.log_dataset(name, named(x), named(y), weights=sample_weight)

    @guarded
    def end(self, name: str | None = None) -> None:
        """The first pass over a data set, or over all, is over."""
        for one in [one for one in self._open if name in (None, one)]:
            self._open.pop(one).close()

    def _begin_stream(self, name: str, batches: Batches, x: Any) -> None:
        if not batches.are_seen:
            self.run.log_dataset(name, x, metadata={"unread": _UNSEEN})
            return
        if self._wanted:
            self.rows[name] = Rows(self._wanted)
        self._open[name] = self.run.stream_dataset(name, rows=batches.rows, source=class_of(x))
        batches.on_batch = partial(self._see, name)

    @guarded
    def _see(self, name: str, batch: Any) -> None:
        stream = self._open.get(name)
        if stream is None:
            return
        x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
        stream.see(named(x), named(y), first_pass=True)
        if name in self.rows:
            self.rows[name].add(x, y)


def are_arrays(data: Any) -> bool:
    """Whether data lie in memory as arrays, tensors or data frames, one or several."""
    leaves = keras.tree.flatten(data)
    return bool(leaves) and all(hasattr(leaf, "shape") for leaf in leaves)


def named(data: Any) -> Any:
    """Several arrays by their names, or by their places; one as it is."""
    if isinstance(data, (list, tuple)):
        return data[0] if len(data) == 1 else {str(place): part for place, part in enumerate(data)}
    return data
