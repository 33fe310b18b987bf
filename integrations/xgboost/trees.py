"""The trees of a saved model: how many, how deep, the values of their leaves, the gain of each split."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_PRUNED = _NO_PARENT = 2**31 - 1  # in split_indices and parents
_FIRST_OF_TREE = b"base_weights[$d#L"  # its arrays lie in the order of the alphabet
_PART_BYTES = 16 << 20  # a saved model is read in parts of about so much


class Trees:
    """The trees in what save_raw("ubj") gave; pruned nodes do not count.

    raw: universal binary JSON, in which a tree is an object of arrays; a leaf has no left child (-1). A text dump takes
    ten times as long.
    """

    def __init__(self, raw: bytes | bytearray) -> None:
        self._raw = raw
        parents_by_tree = self._arrays(b"parents", "l")
        sizes = [len(tree) for tree in parents_by_tree]
        parents = np.concatenate(parents_by_tree).astype(np.int64)
        first_of_tree = np.repeat(np.cumsum([0, *sizes[:-1]]), sizes)
        above = np.where(parents == _NO_PARENT, -1, parents + first_of_tree)
        has_children = np.concatenate(self._arrays(b"left_children", "l")) >= 0
        is_pruned = np.concatenate(self._arrays(b"split_indices", "l")) == _PRUNED
        self._splits = np.flatnonzero(has_children)
        self._leaves = np.flatnonzero(~(has_children | is_pruned))
        self._nodes = len(parents)
        self.count = len(sizes)
        self.leaves = len(self._leaves)
        self.max_depth = -1
        met = self._leaves
        while len(met):  # up to the roots, all leaves together
            self.max_depth += 1
            met = above[met]
            met = met[met >= 0]

    def leaf_values(self) -> NDArray[np.float32]:
        """What the leaves add to a prediction, before DART scales a tree; empty for vectors before XGBoost 3.2."""
        vectors = self._arrays(b"leaf_weights", "d")
        if vectors:
            return _floats(vectors)
        if sum(map(len, self._arrays(b"base_weights", "d"))) != self._nodes:
            return _floats([])
        return _floats(self._arrays(b"split_conditions", "d"))[self._leaves]

    def gains(self) -> NDArray[np.float32]:
        """By how much each split lowered the loss; empty where the model does not keep it."""
        found = _floats(self._arrays(b"loss_changes", "d"))
        return found[self._splits] if len(found) else found

    def _arrays(self, name: bytes, kind: str) -> list[NDArray[Any]]:
        """The arrays of this name: the name, "[$", kind, "#L", the length in 8 bytes, the numbers, all big-endian."""
        numbers = {"l": ">i4", "d": ">f4"}[kind]
        found = []
        mark = name + b"[$" + kind.encode() + b"#L"
        at = self._raw.find(mark)
        while at >= 0:
            at += len(mark)
            size = int.from_bytes(self._raw[at : at + 8], "big")
            found.append(np.frombuffer(self._raw, numbers, size, at + 8))
            at = self._raw.find(mark, at + 8 + 4 * size)
        return found


class Shape(NamedTuple):
    """The trees of a model, counted."""

    trees: int
    leaves: int
    max_depth: int


def shape_of(raw: bytes | bytearray) -> Shape:
    """Count the trees and leaves of a saved model, and find the deepest."""
    shapes = [Shape(trees.count, trees.leaves, trees.max_depth) for trees in map(Trees, _parts(raw))]
    return Shape(
        sum(one.trees for one in shapes), sum(one.leaves for one in shapes), max(one.max_depth for one in shapes)
    )


def _parts(raw: bytes | bytearray) -> Iterator[bytes | bytearray]:
    """The model cut between trees."""
    start = raw.find(_FIRST_OF_TREE)
    while start >= 0:
        end = raw.find(_FIRST_OF_TREE, start + _PART_BYTES)
        yield raw[start:end] if end >= 0 else raw[start:]
        start = end


def newest_trees(raw: bytes | bytearray, rounds: int) -> Trees:
    """Those of the last round of a saved model in which every round has as many trees."""
    start = len(raw)
    for _ in range(raw.count(_FIRST_OF_TREE) // rounds):
        start = raw.rfind(_FIRST_OF_TREE, 0, start)
    return Trees(raw[start:])


def _floats(arrays: list[NDArray[Any]]) -> NDArray[np.float32]:
    joined: NDArray[np.float32] = np.concatenate([np.empty(0, np.float32), *arrays], dtype=np.float32)
    return joined
