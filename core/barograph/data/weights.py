"""The digest of a model's weights: equal if and only if every tensor is equal to the bit, wherever it lies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from .arrays import numbers_of_tensor, plain_numbers

_DEVICE_PIECE = 1 << 22  # numbers brought over from a device at a time


def digest_of_weights(weights: Mapping[str, object]) -> dict[str, Any]:
    """The digest of all weights, and of each: XXH3-128 of name, type, shape and values in C order. Any: JSON.

    weights: arrays or tensors of any library, numbers, or bytes, which count as they are. Their order does not count.
    """
    import xxhash

    each: dict[str, str] = {}
    elements = size_bytes = 0
    for name in sorted(map(str, weights)):
        value = weights[name]
        if value is None:  # a layer without a bias
            continue
        if isinstance(value, (bytes, bytearray, memoryview)):
            each[name] = xxhash.xxh3_128_hexdigest(value)
            size_bytes += memoryview(value).nbytes
            continue
        kind, shape, pieces = _pieces(value)
        state = xxhash.xxh3_128(json.dumps([kind, list(shape)]).encode())
        for piece in pieces:
            state.update(np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data)
            elements += piece.size
            size_bytes += piece.nbytes
        each[name] = state.hexdigest()
    whole = xxhash.xxh3_128_hexdigest(json.dumps(sorted(each.items()), ensure_ascii=True).encode())
    return {"digest": whole, "tensors": len(each), "elements": elements, "bytes": size_bytes, "each": each}


def _pieces(value: Any) -> tuple[str, tuple[int, ...], Any]:
    """The type, shape and numbers of an array of any library, in pieces."""
    if hasattr(value, "detach") and hasattr(value, "layout"):
        tensor = value.detach()
        tensor = tensor.to_dense() if str(tensor.layout) != "torch.strided" else tensor
        flat = tensor.reshape(-1) if tensor.is_contiguous() else tensor.contiguous().reshape(-1)
        starts = range(0, max(1, flat.numel()), _DEVICE_PIECE)
        pieces = (numbers_of_tensor(flat[start : start + _DEVICE_PIECE]).values for start in starts)
        return str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), pieces
    array = np.asarray(value.numpy() if hasattr(value, "numpy") and not isinstance(value, np.ndarray) else value)
    if array.dtype == object:
        raise TypeError(f"weights are arrays of numbers, not a {type(value).__name__}")
    return array.dtype.name, array.shape, iter([plain_numbers(array)])
