"""Which data a score is about: the data that was fitted, or other data, told apart by identity and never by content."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

_TOLD_APART = 3  # data sets a fit was scored on; what comes after them counts as the first: batches of one set, likely
_FACES = 4  # of one data set: a frame, its columns, an array of it


class Identity:
    """Remembers data without keeping it alive, and knows it again: the same object, or the same part of its buffer."""

    __slots__ = ("_kept", "_key", "_owner")

    def __init__(self, data: Any) -> None:
        owner, self._key = _owner_and_key(data)
        self._kept = owner if type(owner) is object else None  # the token of an index, a few bytes
        self._owner: weakref.ref[Any] | None = None
        try:
            self._owner = weakref.ref(owner)
        except TypeError:  # a list, or a token
            self._key = (id(owner), self._key)

    def is_same(self, other: Identity) -> bool:
        """Whether both are of the same data; never true once the data is gone and its place may be taken by other."""
        if self._key != other._key:
            return False
        if self._owner is None or other._owner is None:
            return self._owner is other._owner
        owner = self._owner()
        return owner is not None and owner is other._owner()


def identify(data: Any) -> Identity | None:
    """The identity of data; None for None."""
    return None if data is None else Identity(data)


def _owner_and_key(data: Any) -> tuple[Any, object]:
    if isinstance(data, np.ndarray):
        place = data.__array_interface__["data"][0]
        key = (place, data.shape, data.strides, data.dtype.str)
        while isinstance(data.base, np.ndarray):
            data = data.base
        return data, key
    # pandas: frames with other columns of the same rows share the token of their index (pandas.Index.is_)
    token = getattr(getattr(data, "index", None), "_id", None)
    if token is not None:
        return token, "rows"
    return data, len(data) if isinstance(data, (list, tuple)) else None


class _DataSet:
    """What is known of one data set: its features and its targets, under as many faces as were seen."""

    def __init__(self, split: str) -> None:
        self.split = split
        self._faces: tuple[list[Identity], list[Identity]] = [], []

    def holds(self, data: Identity | None, side: int) -> bool:
        return data is not None and any(face.is_same(data) for face in self._faces[side])

    def learn(self, data: Identity | None, side: int) -> None:
        if data is not None and len(self._faces[side]) < _FACES and not self.holds(data, side):
            self._faces[side].append(data)


class Splits:
    """The data sets that one fitted estimator met: "train" is what it was fitted on, then come the others."""

    def __init__(self, X: Identity | None, y: Identity | None) -> None:
        self._train = _DataSet("train")
        self._train.learn(X, 0)
        self._train.learn(y, 1)
        self._others: list[_DataSet] = []
        self._last = "test"

    def name(self, X: Identity | None, y: Identity | None, said: str | None = None) -> str:
        """The split of data that is given by its features, its targets, or both; the targets decide.

        said: what the user's code calls it, for data that was not seen before; without it that is "test", and "test_2"
        for the next set. With neither features nor targets it is the split named last.
        """
        if X is None and y is None:
            return self._last
        known = [self._train, *self._others]
        found = next((one for one in known if one.holds(y, 1)), None) or next(
            (one for one in known if one.holds(X, 0)), None
        )
        if found is None:
            found = self._unseen(said)
        found.learn(X, 0)
        found.learn(y, 1)
        self._last = found.split
        return self._last

    def _unseen(self, said: str | None) -> _DataSet:
        named = next((one for one in [self._train, *self._others] if one.split == said), None)
        unnamed = [one for one in self._others if one.split.startswith("test")]
        if named is not None:
            return named
        if said is None and len(unnamed) == _TOLD_APART:
            return unnamed[0]
        number = len(unnamed) + 1
        found = _DataSet(said or ("test" if number == 1 else f"test_{number}"))
        self._others.append(found)
        return found
