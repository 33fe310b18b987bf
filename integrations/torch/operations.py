"""What one launch does, in plain torch: a few dozen operations over all tensors, however many there are.

Tensors are cut into chunks and laid side by side as the rows of a matrix of doubles, whose columns are summed at once;
none of it needs the host to know a result. Chunks are sorted by how thinly they are sampled, so that those of a kind
lie together. The table, int64, seven runs of one number a chunk: the tensor's index, the chunk's row in the result,
where in the tensor it begins, its elements, sampling, whether float32 holds its values, and the bits of the centre.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from barograph.tensors.bins import BINS, BLOCK, FLOAT_BITS, FLOAT_MAX, TURN

LARGEST_CHUNK = 1 << 21  # elements; also what is treated at a time, for copies of it are made
RUNS = 7


class Pieces:
    """The chunks that are treated by operations, and which of them at a time."""

    def __init__(
        self,
        owners: NDArray[np.int64],
        rows: NDArray[np.int64],
        starts: NDArray[np.int64],
        lengths: NDArray[np.int64],
        samplings: NDArray[np.int64],
        narrow: NDArray[np.bool_],
        centres: NDArray[np.float64],
    ) -> None:
        """All of them one number a chunk. Chunks without elements are left out: their results are the zeros there."""
        order = np.argsort(samplings, kind="stable")
        order = order[lengths[order] > 0]
        columns = (owners, rows, starts, lengths, samplings, narrow, centres.view(np.int64))
        self.table = np.array([column[order] for column in columns], dtype=np.int64).reshape(RUNS, -1)
        self._owners, _, self._starts, self._lengths, self._samplings = (run.tolist() for run in self.table[:5])
        self._blocks = [-(-length // BLOCK) for length in self._lengths]
        self.bounds = list(_bounds(self._blocks, LARGEST_CHUNK // BLOCK))

    def __len__(self) -> int:
        return len(self._lengths)

    def blocks(self, first: int, last: int) -> int:
        """How many rows the matrix of these chunks has."""
        return sum(self._blocks[first:last])

    def fill(self, matrix: torch.Tensor, tensors: Sequence[torch.Tensor], first: int, last: int) -> None:
        """Copy these chunks into a flat matrix of zeros, each from the beginning of a row."""
        lengths, blocks = self._lengths[first:last], self._blocks[first:last]
        rests = [block * BLOCK - length for block, length in zip(blocks, lengths, strict=True)]
        places = matrix.split(list(itertools.chain.from_iterable(zip(lengths, rests, strict=True))))[::2]
        cuts = zip(self._owners[first:last], self._starts[first:last], lengths, strict=True)
        torch._foreach_copy_(list(places), [_cut(tensors[owner], start, length) for owner, start, length in cuts])

    def groups(self, first: int, last: int) -> Iterator[tuple[int, slice]]:
        """The samplings of these chunks but 0, and the rows of the matrix that are sampled so."""
        end = 0
        pairs = zip(self._samplings[first:last], self._blocks[first:last], strict=True)
        for every, those in itertools.groupby(pairs, key=lambda pair: pair[0]):
            begin, end = end, end + sum(blocks for _, blocks in those)
            if every:
                yield every, slice(begin, end)


def measure(
    pieces: Pieces, tensors: Sequence[torch.Tensor], table: torch.Tensor, rows: torch.Tensor, bins: torch.Tensor
) -> None:
    """Fill the rows of these chunks, and add to the bins of their tensors. table: pieces.table on the device."""
    runs, device = table.view(RUNS, -1), table.device
    columns = torch.arange(BLOCK, device=device)
    for first, last in pieces.bounds:
        owners, numbers, starts, lengths, _, narrow, centres = runs[:, first:last]
        values = torch.zeros(pieces.blocks(first, last) * BLOCK, dtype=torch.float64, device=device)
        pieces.fill(values, tensors, first, last)
        values = values.view(-1, BLOCK)
        ends = ((lengths + (BLOCK - 1)) // BLOCK).cumsum(0)
        place = torch.arange(len(values), device=device)
        chunk = torch.searchsorted(ends, place, right=True)  # of each row of the matrix
        place -= (ends - (lengths + (BLOCK - 1)) // BLOCK)[chunk]
        finite = values.isfinite() & (columns < (lengths[chunk] - place * BLOCK).unsqueeze(1))
        rows.index_copy_(0, numbers, _rows(values, finite, chunk, lengths))
        blocks, into, middles = starts[chunk] // BLOCK + place, owners[chunk] * BINS, centres.view(torch.float64)[chunk]
        for every, where in pieces.groups(first, last):
            _add_to_bins(
                bins, values[where], finite[where], blocks[where], into[where], middles[where],
                narrow[chunk[where]] > 0, every,
            )  # fmt: skip


def _rows(values: torch.Tensor, finite: torch.Tensor, chunk: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """The partial results of chunks, as on_device.py describes them. finite: where an element is, and is finite."""
    kept = values.masked_fill(~finite, 0.0)
    sums = torch.stack(
        [
            finite.sum(1).double(),
            (finite & (values == 0)).sum(1).double(),
            values.isnan().sum(1).double(),
            values.isposinf().sum(1).double(),
            values.isneginf().sum(1).double(),
            kept.sum(1),
        ],
        1,
    )
    of_chunks = sums.new_zeros(len(lengths), 6).index_add_(0, chunk, sums)
    means = of_chunks[:, 5] / of_chunks[:, 0].clamp(min=1)
    squares = (kept - means[chunk].unsqueeze(1)).masked_fill_(~finite, 0.0).square_().sum(1)
    spread = sums.new_zeros(len(lengths)).index_add_(0, chunk, squares)
    lows = sums.new_full((len(lengths),), torch.inf)
    lows.scatter_reduce_(0, chunk, values.masked_fill(~finite, torch.inf).amin(1), "amin")
    highs = sums.new_full((len(lengths),), -torch.inf)
    highs.scatter_reduce_(0, chunk, values.masked_fill(~finite, -torch.inf).amax(1), "amax")
    return torch.cat([of_chunks[:, :5], torch.stack([means, spread, lows, highs], 1)], 1)


def _add_to_bins(
    bins: torch.Tensor,
    values: torch.Tensor,
    finite: torch.Tensor,
    blocks: torch.Tensor,
    into: torch.Tensor,
    centres: torch.Tensor,
    narrow: torch.Tensor,
    every: int,
) -> None:
    """Count every so manieth element of each row; which these are: bins.sampled_positions."""
    columns = (blocks * TURN % every).unsqueeze(1) + torch.arange(0, BLOCK, every, device=bins.device)
    sample, middles = values.gather(1, columns), centres.unsqueeze(1)
    wide = ((sample - middles).view(torch.int64) & FLOAT_BITS).view(torch.float64).clamp_(-FLOAT_MAX, FLOAT_MAX).float()
    away = torch.where(narrow.unsqueeze(1), sample.float() - middles.float(), wide)
    found = ((away.view(torch.int32) >> 22) & (BINS - 1)) + into.unsqueeze(1)
    bins.view(-1).index_add_(0, found.view(-1), finite.gather(1, columns).view(-1).int())


def _cut(tensor: torch.Tensor, start: int, length: int) -> torch.Tensor:
    flat = tensor.view(-1)
    return flat if length == len(flat) else flat[start : start + length]


def _bounds(blocks: list[int], most: int) -> Iterator[tuple[int, int]]:
    """Ranges of chunks that have at most so many blocks together."""
    first = held = 0
    for place, count in enumerate(blocks):
        if held + count > most and held:
            yield first, place
            first, held = place, 0
        held += count
    if held:
        yield first, len(blocks)
