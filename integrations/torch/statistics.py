"""Statistics of torch tensors on the CPU: the kernel reads them in place; without it, a few lean torch operations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch  # 2.4 or later

from barograph.tensors.arrays import of_array
from barograph.tensors.bins import BLOCK, count, sampled_positions
from barograph.tensors.compute import FULL_UP_TO, SAMPLING, Memory, has_kernel, of_memory, sampling_of
from barograph.tensors.statistics import Statistics, from_dense

_PIECE = 1 << 20  # elements treated at a time: the second reading finds them in the cache
_MOST_SAMPLES = 1 << 16  # in a histogram of torch operations, where each costs ten times as much as in the kernel
_SAFE = (1e-15, 1e15)  # magnitudes whose squares and sums of squares a float32 holds
_OFF_CENTRE_SD = 2.0  # up to here sum of squares minus squared mean keeps enough digits
_KINDS = {
    torch.float32: "float32",
    torch.float64: "float64",
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
    torch.int8: "int8",
    torch.int16: "int16",
    torch.int32: "int32",
    torch.int64: "int64",
    torch.uint8: "uint8",
    torch.uint16: "uint16",
    torch.uint32: "uint32",
    torch.uint64: "uint64",
    torch.bool: "bool",
}
_LEAN = (torch.float32, torch.float16, torch.bfloat16)


def of_tensors(
    tensors: Sequence[torch.Tensor],
    centres: Sequence[float] | None = None,
    sampling: int = SAMPLING,
    native: bool | None = None,
) -> list[Statistics]:
    """The statistics of tensors; those that are not on the CPU are copied there and waited for.

    centres, sampling, native: as for barograph.tensors.compute.of_arrays. Without the kernel large tensors are sampled
    more thinly. Sparse tensors count with their zeros, complex numbers count as two. Nothing is kept of the tensors.
    Raises TypeError for tensors without numbers (on the meta device, quantised).
    """
    middles = centres or [0.0] * len(tensors)
    with torch.no_grad():
        plain = [_plain(tensor) for tensor in tensors]
        if has_kernel() if native is None else native:
            found = of_memory([_memory(tensor) for tensor in plain], middles, sampling)
        else:
            found = [_without_kernel(one, centre, sampling) for one, centre in zip(plain, middles, strict=True)]
    return [
        record + Statistics.of_zeros(zeros_not_stored(tensor, one)) if tensor.layout is not torch.strided else record
        for record, tensor, one in zip(found, tensors, plain, strict=True)
    ]


def zeros_not_stored(tensor: torch.Tensor, stored: torch.Tensor) -> int:
    """How many numbers of a tensor are zeros that it does not store."""
    if tensor.layout is torch.strided:
        return 0
    shown: int = tensor.numel() * (2 if tensor.is_complex() else 1)
    return max(0, shown - int(stored.numel()))


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor's numbers as a dense CPU tensor of a known kind: itself almost always."""
    if tensor.dtype in _KINDS and tensor.is_cpu and tensor.layout is torch.strided and not tensor.is_neg():
        return tensor
    if tensor.is_meta or tensor.is_quantized:
        raise TypeError(f"statistics are taken of numbers, not of a {tensor.dtype} tensor on {tensor.device}")
    if tensor.layout is not torch.strided:
        tensor = (tensor.coalesce() if tensor.layout is torch.sparse_coo else tensor).values()
    tensor = tensor.cpu().resolve_neg()
    if tensor.is_complex():
        return torch.view_as_real(tensor.resolve_conj())
    return tensor if tensor.dtype in _KINDS else tensor.float()


def _memory(tensor: torch.Tensor) -> Memory:
    kind, size = _KINDS[tensor.dtype], tensor.numel()
    if tensor.is_contiguous():
        return Memory(tensor.data_ptr(), kind, size)
    item = tensor.element_size()
    return Memory(tensor.data_ptr(), kind, size, tuple(tensor.shape), tuple(item * step for step in tensor.stride()))


def _without_kernel(tensor: torch.Tensor, centre: float, sampling: int) -> Statistics:
    tensor, size = tensor.detach(), tensor.numel()
    every = sampling_of(size, sampling)
    while every and size > every * _MOST_SAMPLES and every < BLOCK:
        every *= 2
    if size > FULL_UP_TO and tensor.dtype in _LEAN and tensor.is_contiguous():
        record = _lean(tensor.view(-1), centre, every)
        if record is not None:
            return record
    readable = tensor.view(torch.int16) if tensor.dtype is torch.bfloat16 else tensor  # numpy has no bfloat16
    return of_array(readable.numpy(), _KINDS[tensor.dtype], centre, every)


def _lean(flat: torch.Tensor, centre: float, sampling: int) -> Statistics | None:
    """The statistics from float32 sums over rows, or None where these are not exact enough.

    One float32 norm of ten million elements is off by 6e-4; norms of rows of 1,024, added as doubles, by 3e-10.
    """
    total = squares = 0.0
    zeros = 0
    low, high = math.inf, -math.inf
    is_zero = np.empty(min(_PIECE, len(flat)), dtype=np.bool_)
    for piece in _floats(flat):
        least, greatest = (one.item() for one in torch.aminmax(piece))
        low, high = min(low, least), max(high, greatest)
        whole = len(piece) - len(piece) % BLOCK
        for rows in (piece[:whole].view(-1, BLOCK), piece[whole:].view(1, -1)):
            total += rows.sum(1).double().sum().item()
            squares += torch.linalg.vector_norm(rows, dim=1).double().square_().sum().item()
        # numpy counts five times as fast as torch
        zeros += int(np.count_nonzero(np.equal(piece.numpy(), 0, out=is_zero[: len(piece)])))
    mean = total / len(flat)
    std = math.sqrt(max(squares / len(flat) - mean * mean, 0.0))
    size = max(abs(low), abs(high))
    in_range = size == 0 or _SAFE[0] < size < _SAFE[1]
    if not (math.isfinite(total) and in_range and abs(mean) <= _OFF_CENTRE_SD * std):
        return None
    record = Statistics(len(flat), zeros, mean=mean, std=std, min=low, max=high, centre=centre, sampling=sampling)
    if not sampling:
        return record
    sample = flat.index_select(
        0, torch.from_numpy(sampled_positions(len(flat), sampling))
    )  # half the price of flat[...]
    bins, counts = from_dense(count(sample.float().numpy(), centre))
    return replace(record, bins=bins, counts=counts)


def _floats(flat: torch.Tensor) -> Iterator[torch.Tensor]:
    buffer = None if flat.dtype is torch.float32 else torch.empty(_PIECE)
    for part in flat.split(_PIECE):
        yield part if buffer is None else buffer[: len(part)].copy_(part)
