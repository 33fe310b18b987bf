"""Digests of weights: the same for the same bits, wherever and however they lie."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from barograph.data.weights import digest_of_weights
from barograph.testing import temporary_run

W = np.random.default_rng(0).normal(size=(30, 20)).astype(np.float32)


@pytest.mark.parametrize(
    "same",
    [
        torch.tensor(W),
        torch.tensor(W.T.copy()).T,
        torch.nn.Parameter(torch.tensor(W)),
        np.asfortranarray(W),
        W.astype(">f4"),
        "tensorflow",
        "jax",
    ],
    ids=["torch", "torch turned", "torch parameter", "Fortran", "big endian", "tensorflow", "jax"],
)
def test_layout_and_library_do_not_count(same: object) -> None:
    """Equal values of one type and shape have one digest."""
    if isinstance(same, str):
        library = pytest.importorskip(same)
        same = library.Variable(W) if same == "tensorflow" else library.numpy.asarray(W)
    assert digest_of_weights({"w": same}) == digest_of_weights({"w": W})


@pytest.mark.parametrize(
    "other",
    [W.reshape(20, 30), W.astype(np.float64), W.view(np.int32), np.nextafter(W, np.float32(9)), W[:-1]],
    ids=["shape", "type", "same bits", "one bit each", "fewer"],
)
def test_any_other_tensor_has_another_digest(other: object) -> None:
    """Shape, type and every bit count."""
    assert digest_of_weights({"w": other})["digest"] != digest_of_weights({"w": W})["digest"]


def test_names_count_and_their_order_does_not() -> None:
    """A model is a set of named tensors."""
    one, other = digest_of_weights({"a": W, "b": W[:3]}), digest_of_weights({"b": W[:3], "a": W})
    assert one == other
    assert digest_of_weights({"a": W[:3], "b": W})["digest"] != one["digest"]
    assert (one["tensors"], one["elements"], one["bytes"]) == (2, 660, 2640)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.bool, torch.complex64])
def test_every_number_type_is_taken_by_its_bytes(dtype: torch.dtype) -> None:
    """Types that numpy lacks as well."""
    tensor = torch.tensor(W).to(dtype)
    assert digest_of_weights({"w": tensor}) == digest_of_weights({"w": tensor.clone()})
    assert digest_of_weights({"w": tensor})["bytes"] == tensor.numel() * tensor.element_size()


def test_bytes_and_numbers_are_weights() -> None:
    """A serialised model, a scalar, an empty tensor; a missing bias is left out."""
    found = digest_of_weights({"model": b"\x00\x01", "bias": None, "scale": 0.5, "empty": torch.empty(0)})
    assert (found["tensors"], found["bytes"]) == (3, 10)
    assert set(found["each"]) == {"model", "scale", "empty"}


def test_large_tensors_are_taken_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pieces in which a tensor is brought over make no difference."""
    whole = digest_of_weights({"w": torch.tensor(W)})
    monkeypatch.setattr("barograph.data.weights._DEVICE_PIECE", 7)
    assert digest_of_weights({"w": torch.tensor(W)}) == whole


def test_log_weights_writes_a_record() -> None:
    """The digest of all and of each, at a step."""
    with temporary_run() as recorded:
        recorded.run.log_weights({"w": torch.tensor(W)}, step=12)
        (found,) = recorded.view().weights()
    expected = digest_of_weights({"w": W})
    assert (found.step, found.digest, found.each) == (12, expected["digest"], expected["each"])
    assert (found.tensors, found.elements, found.size_bytes) == (1, 600, 2400)
