"""Statistics of tensors on a CUDA device without ever waiting for it: started now, collected once they have arrived.

The table of a launch, int64: for each tensor its address, centre (the bits of a double), size, kind and sampling, five
runs of that many numbers; then for each chunk the index of its tensor, and where in it the chunk begins. What is left
to the operations of plain torch stands there with size 0, and its chunks follow once more (operations.py).
The result: for each chunk nine doubles (finite, zeros, NaN, both infinities, mean, sum of squared deviations, least,
greatest), then for each tensor 1,024 counts of 32 bits.
"""

from __future__ import annotations

import functools
import operator
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from barograph.integrations.torch.operations import LARGEST_CHUNK, Pieces, measure
from barograph.integrations.torch.statistics import zeros_not_stored
from barograph.tensors.bins import BINS, UNUSED_BINS
from barograph.tensors.compute import sampling_of
from barograph.tensors.statistics import Statistics, from_dense

SAMPLING = 32  # counting is what costs on a GPU: eight times the samples take as long as all the rest
SLOTS = 8  # launches that may be under way at once: a backward pass each, where several make a step
_ROW = 9
_KINDS = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}  # what the launch reads; plain torch does the others
_OTHER_KIND = -1
_ALIGNED = 16  # bytes; the launch reads as many at once

_Launch = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, int, int], None]


class Arrived(NamedTuple):
    """The statistics of one launch, in the order of its tensors, and what the launch was marked with."""

    mark: object
    statistics: list[Statistics]


class DeviceStatistics:
    """Takes statistics of tensors on one device. Nothing here waits for the device; what cannot be taken is counted.

    start() belongs to the thread that trains: it works on the current stream, so that the tensors may be changed or
    freed right after it. arrived() may belong to another thread, one at a time. No tensor is kept.
    """

    def __init__(self, device: torch.device, native: bool | None = None) -> None:
        """native: whether one Triton launch does it, else operations of plain torch; None: if Triton is there."""
        self.dropped = 0  # launches that found all slots under way, or a CUDA graph being captured
        self.device = device
        kernel = _triton() if (device.type == "cuda" if native is None else native) else None
        self._launch: _Launch | None = kernel[0] if kernel else None
        self._chunk = kernel[1] if kernel else LARGEST_CHUNK
        self._free = deque(_Slot(device) for _ in range(SLOTS))
        self._under_way: deque[_Slot] = deque()

    @property
    def pending(self) -> int:
        """How many launches have not been collected."""
        return len(self._under_way)

    def start(
        self,
        tensors: Sequence[torch.Tensor],
        mark: object = None,
        centres: Sequence[float] | None = None,
        sampling: int = SAMPLING,
    ) -> bool:
        """Start to take the statistics of tensors of this device; False if that was not possible now.

        centres, sampling: as for barograph.tensors.compute.of_arrays. Sparse tensors count with their zeros; rows that
        occur in them twice, which only waiting would join, count as two.
        """
        capturing = self.device.type == "cuda" and torch.cuda.is_current_stream_capturing()
        if capturing or not self._free or not tensors:
            self.dropped += bool(tensors)
            return False
        order = _Order.of(tensors, list(centres or [0.0] * len(tensors)), sampling)
        slot = self._slot_for(order)
        try:
            with torch.no_grad(), torch.cuda.device(self.device) if slot.stream else nullcontext():
                if order is not None and slot.order == order:
                    solid: Sequence[torch.Tensor] = tensors
                    plan = slot.begin_again(mark)
                else:
                    solid = [_solid(tensor) for tensor in tensors]
                    implied = [zeros_not_stored(tensor, one) for tensor, one in zip(tensors, solid, strict=True)]
                    middles = list(centres or [0.0] * len(solid))
                    kinds = [_KINDS.get(one.dtype, _OTHER_KIND) for one in solid]
                    sizes = [one.numel() for one in solid]
                    plan = _Plan(sizes, kinds, implied, middles, sampling, self._chunk, self._launch is not None)
                    slot.begin(mark, plan, solid, order)
                self._measure(slot, plan, solid)
                slot.bring_over()
        except BaseException:
            self._free.append(_Slot(self.device))  # the old one's table may still be on its way
            raise
        self._under_way.append(slot)
        return True

    def _slot_for(self, order: _Order | None) -> _Slot:
        """A free slot, if there is one that did the very same last, that one."""
        known = next((slot for slot in self._free if order is not None and slot.order == order), self._free[0])
        self._free.remove(known)
        return known

    def _measure(self, slot: _Slot, plan: _Plan, tensors: Sequence[torch.Tensor]) -> None:
        rows, bins = slot.results()
        if self._launch:
            self._launch(slot.table, rows, bins, len(tensors), plan.chunks)
        if len(plan.pieces):
            measure(plan.pieces, tensors, slot.table[-plan.pieces.table.size :], rows, bins)

    def arrived(self) -> list[Arrived]:
        """The launches whose results have come over since the last call, in the order they were started."""
        found = []
        while self._under_way and self._under_way[0].has_arrived():
            slot = self._under_way.popleft()
            found.append(slot.collect())
            self._free.append(slot)
        return found


@functools.cache
def _triton() -> tuple[_Launch, int] | None:
    try:
        from barograph.integrations.torch import _triton as built  # Triton is not there for every platform
    except ImportError:
        return None
    return built.launch, built.CHUNK


class _Order(NamedTuple):
    """What was asked for, so far as it decides the table: where the same is asked again, the table is there."""

    addresses: list[int]
    sizes: list[int]
    dtypes: list[torch.dtype]
    centres: list[float]
    sampling: int

    @classmethod
    def of(cls, tensors: Sequence[torch.Tensor], centres: list[float], sampling: int) -> _Order | None:
        """None for tensors that must be laid out anew each time. Six calls a tensor: this is what a look waits for."""
        try:
            addresses = list(map(torch.Tensor.data_ptr, tensors))  # as map() calls them: half as long as in a loop
            if not all(map(torch.Tensor.is_contiguous, tensors)) or any(map(torch.Tensor.is_neg, tensors)):
                return None
        except RuntimeError:  # sparse ones have no address
            return None
        dtypes = [tensor.dtype for tensor in tensors]
        if not _KINDS.keys() >= set(dtypes) or functools.reduce(operator.or_, addresses) % _ALIGNED:
            return None
        return cls(addresses, list(map(torch.Tensor.numel, tensors)), dtypes, centres, sampling)


class _Plan:
    """What one launch was told, and where the rows of each tensor lie in its result."""

    def __init__(
        self,
        sizes: list[int],
        kinds: list[int],
        implied: list[int],
        centres: list[float],
        sampling: int,
        chunk: int,
        is_native: bool,
    ) -> None:
        """implied: zeros that a tensor does not store. is_native: whether the launch does what it can read."""
        self.sizes, self.implied_zeros, self.centres = sizes, implied, centres
        self.samplings = [sampling_of(size, sampling) for size in sizes]
        self.chunks_of = np.maximum(1, -(-np.array(sizes, dtype=np.int64) // chunk))
        self.firsts = np.cumsum(self.chunks_of) - self.chunks_of
        self.chunks = int(self.chunks_of.sum())
        self._is_native, self._kinds = is_native, np.array(kinds)
        self._owners = np.repeat(np.arange(len(sizes)), self.chunks_of)
        self._starts = (np.arange(self.chunks) - self.firsts[self._owners]) * chunk
        self.pieces = self._left(chunk)

    def _left(self, chunk: int) -> Pieces:
        """The chunks that the launch does not read."""
        (rows,) = np.nonzero(~(self._is_native & (self._kinds[self._owners] != _OTHER_KIND)))
        owners, starts = self._owners[rows], self._starts[rows]
        lengths = np.minimum(np.array(self.sizes)[owners] - starts, chunk)
        narrow = self._kinds[owners] != _OTHER_KIND
        centres = np.array(self.centres, dtype=np.float64)[owners]
        return Pieces(owners, rows, starts, lengths, np.array(self.samplings)[owners], narrow, centres)

    def table(self, addresses: list[int]) -> NDArray[np.int64]:
        """What the device is sent; its last numbers are those of the pieces."""
        left = self.pieces.table.reshape(-1)
        if not self._is_native:
            return left
        centres = np.array(self.centres, dtype=np.float64).view(np.int64)
        readable = np.where(self._kinds == _OTHER_KIND, 0, self.sizes)
        runs = (addresses, centres, readable, self._kinds, self.samplings, self._owners, self._starts, left)
        return np.concatenate(runs, dtype=np.int64)

    def read(self, rows: NDArray[np.float64], bins: NDArray[np.int32]) -> list[Statistics]:
        """The statistics from the partial results: their exact sums, in a fixed order."""
        finite = np.add.reduceat(rows[:, 0], self.firsts)
        with np.errstate(invalid="ignore"):
            means = np.add.reduceat(rows[:, 0] * rows[:, 5], self.firsts) / finite
            apart = rows[:, 5] - np.repeat(means, self.chunks_of)
            between = np.where(rows[:, 0] > 0, rows[:, 0] * apart * apart, 0.0)
            stds = np.sqrt(np.add.reduceat(rows[:, 6] + between, self.firsts) / finite)
        seen = rows[:, 0] > 0
        lows = np.minimum.reduceat(np.where(seen, rows[:, 7], np.inf), self.firsts)
        highs = np.maximum.reduceat(np.where(seen, rows[:, 8], -np.inf), self.firsts)
        lows[finite == 0] = highs[finite == 0] = np.nan
        odd = np.add.reduceat(rows[:, 1:5], self.firsts).astype(np.int64)
        bins[:, list(UNUSED_BINS)] = 0
        moments = np.stack((means, stds, lows, highs), axis=1)
        records = []
        for index, size in enumerate(self.sizes):
            zeros, nans, pos_infs, neg_infs = odd[index].tolist()
            mean, std, low, high = moments[index].tolist()
            occupied, counts = from_dense(bins[index])
            record = Statistics(
                size, zeros, nans, pos_infs, neg_infs, mean, std, low, high,
                self.centres[index], self.samplings[index], occupied, counts,
            )  # fmt: skip
            implied = self.implied_zeros[index]
            records.append(record + Statistics.of_zeros(implied) if implied else record)
        return records


class _Slot:
    """The memory of one launch, on the device and pinned beside it; used again once its result has been read."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self.stream = torch.cuda.Stream(device) if self._cuda else None
        self._event = torch.cuda.Event() if self._cuda else None
        self.order: _Order | None = None  # that its table is for
        self._plan: _Plan | None = None
        self._mark: object = None
        self._make(device, 0, 0)

    def _make(self, device: torch.device, table: int, result: int) -> None:
        self.table = torch.empty(table, dtype=torch.int64, device=device)
        self._result = torch.empty(result, dtype=torch.int64, device=device)
        self._host_table = torch.empty(table, dtype=torch.int64, device="cpu", pin_memory=self._cuda)
        self._host_result = torch.empty(result, dtype=torch.int64, device="cpu", pin_memory=self._cuda)

    def begin_again(self, mark: object) -> _Plan:
        """Empty the result, for the same table."""
        assert self._plan is not None
        self._mark = mark
        self._result.zero_()
        return self._plan

    def begin(self, mark: object, plan: _Plan, tensors: list[torch.Tensor], order: _Order | None) -> None:
        """Send the table over and empty the result."""
        self._mark, self.order = mark, order
        table = plan.table([tensor.data_ptr() for tensor in tensors])
        result = plan.chunks * _ROW + len(tensors) * (BINS // 2)  # two counts of 32 bits share a number of 64
        if (len(table), result) != (len(self.table), len(self._result)):
            self._make(self.table.device, len(table), result)
        self._plan = plan
        self._host_table.numpy()[:] = table
        self.table.copy_(self._host_table, non_blocking=True)
        self._result.zero_()

    def results(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The rows and bins on the device."""
        return self._split(self._result)

    def _split(self, result: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert self._plan is not None
        numbers = self._plan.chunks * _ROW
        return result[:numbers].view(torch.float64).view(-1, _ROW), result[numbers:].view(torch.int32).view(-1, BINS)

    def bring_over(self) -> None:
        """Copy the result beside the training stream, and note when that is done."""
        if self.stream is None or self._event is None:
            self._host_result.copy_(self._result)
            return
        self.stream.wait_stream(torch.cuda.current_stream(self._result.device))
        with torch.cuda.stream(self.stream):
            self._host_result.copy_(self._result, non_blocking=True)
            self._event.record(self.stream)

    def has_arrived(self) -> bool:
        """Whether the result lies on the host. Asks the event, never waits for it."""
        return self._event is None or bool(self._event.query())

    def collect(self) -> Arrived:
        """The statistics; the slot is free afterwards."""
        assert self._plan is not None
        rows, bins = self._split(self._host_result)
        mark, self._mark = self._mark, None
        return Arrived(mark, self._plan.read(rows.numpy(), bins.numpy()))


def _solid(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor's numbers without gaps in its memory: itself almost always, else a copy on the device."""
    if tensor.dtype in _KINDS and tensor.is_contiguous() and tensor.data_ptr() % _ALIGNED == 0 and not tensor.is_neg():
        return tensor
    if tensor.layout is not torch.strided:
        tensor = tensor._values()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    tensor = tensor.resolve_neg()
    axes = sorted(range(tensor.ndim), key=lambda axis: (-tensor.stride(axis), -tensor.size(axis)))
    solid = tensor.permute(axes).contiguous()
    if solid.element_size() == 1 and solid.is_floating_point():
        solid = solid.float()
    return solid.clone() if solid.data_ptr() % _ALIGNED else solid
