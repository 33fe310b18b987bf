"""What is encoded is read back to the bit, small, and damage is told."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barograph.tensors import payload
from barograph.tensors.compute import of_arrays
from barograph.tensors.payload import decode, encode
from barograph.tensors.statistics import Statistics


def _records() -> dict[str, Statistics]:
    random = np.random.default_rng(5)
    arrays = {
        "weights/fc1.weight": random.normal(0, 0.02, 60_000).astype(np.float32),
        "gradients/größe\udc80": np.array([1.0, np.nan, np.inf, -np.inf, 0.0, -0.0]),
        "norm": random.normal(1, 0.01, 64),
        "": np.array([]),
        "only NaN": np.array([np.nan]),
        "wide": 10.0 ** np.arange(-44, 38),
    }
    records = dict(zip(arrays, of_arrays(list(arrays.values()), [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]), strict=True))
    records["no histogram"] = of_arrays([np.ones(3)], sampling=0)[0]
    total = records["weights/fc1.weight"]
    for _ in range(20):  # counts of four and eight bytes
        total = total + total
        records[f"sum {total.count}"] = total
    return records


def _same(one: Statistics, other: Statistics) -> bool:
    for name in Statistics.__slots__:
        mine, others = np.asarray(getattr(one, name)), np.asarray(getattr(other, name))
        if mine.dtype != others.dtype or mine.tobytes() != others.tobytes():
            return False
    return True


def test_everything_is_read_back_to_the_bit() -> None:
    """Keys, counts, moments, centre and bins come back exactly, NaN and empty tensors as well."""
    records = _records()
    (written,) = encode(-3, 1234.5, records)
    read = decode(written)
    assert (read.step, read.time_s) == (-3, 1234.5)
    assert list(read.statistics) == list(records)
    assert all(_same(read.statistics[key], record) for key, record in records.items())


def test_a_step_of_twenty_tensors_fits_into_twelve_kilobytes() -> None:
    """Weights and gradients of ten layers of a 9.5M network, histograms included, take at most 12 kB."""
    random = np.random.default_rng(6)
    records = {}
    for layer in range(10):
        for name, size in (("weight", 950_000), ("bias", 1000)):
            for kind, scale in (("weights", 0.02), ("gradients", 1e-5)):
                values = (random.standard_t(4, size) * scale).astype(np.float32)
                records[f"{kind}/layers.{layer}.{name}"] = of_arrays([values])[0]
    assert sum(map(len, encode(1, 0.0, records))) <= 12_000


def test_more_than_a_frame_holds_becomes_several_payloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of very many tensors is written as several payloads of the same step."""
    monkeypatch.setattr(payload, "LIMIT", 500)
    records = _records()
    written = encode(7, 1.0, records)
    assert len(written) > 1
    read = [decode(one) for one in written]
    assert {one.step for one in read} == {7}
    assert [key for one in read for key in one.statistics] == list(records)


def test_nothing_is_a_payload_too() -> None:
    """A step without tensors is one payload without entries."""
    (written,) = encode(0, 0.0, {})
    assert decode(written).statistics == {}


def test_every_cut_is_an_error() -> None:
    """A payload that ends early or goes on too long raises ValueError wherever it is cut."""
    (written,) = encode(1, 2.0, dict(list(_records().items())[:7]))
    for end in range(len(written)):
        with pytest.raises(ValueError):
            decode(written[:end])
    with pytest.raises(ValueError, match="follow"):
        decode(written + b"\0")


def test_another_version_is_refused() -> None:
    """A payload of a later version is not guessed at."""
    (written,) = encode(1, 2.0, {})
    with pytest.raises(ValueError, match="version 2"):
        decode(b"\x02" + written[1:])


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_damage_is_an_error_or_a_sound_record(data: st.DataObject) -> None:
    """Whatever bytes are changed: ValueError, or records that can be read, drawn and added without harm."""
    (written,) = encode(1, 2.0, dict(list(_records().items())[:7]))
    damaged = bytearray(written)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = decode(bytes(damaged))
    except ValueError:
        return
    for record in read.statistics.values():
        record.quantiles([0.1, 0.9])
        record.rebinned(np.linspace(-1, 1, 5))
        record.underflow_share("float16")
        assert (record + record).count == 2 * record.count


@given(st.binary(max_size=200))
def test_noise_is_an_error(noise: bytes) -> None:
    """Bytes of any kind raise ValueError and nothing else, whatever lengths they claim."""
    head = struct.pack("<BqdI", 1, 0, math.nan, 2**32 - 1)
    for damaged in (noise, head + noise):
        with pytest.raises(ValueError):
            decode(damaged)
