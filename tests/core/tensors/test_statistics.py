"""Records add up, and what is read from their bins is near the truth."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barograph.tensors.bins import EDGES, bin_at, place_of
from barograph.tensors.compute import of_arrays
from barograph.tensors.statistics import LEAST_POSITIVE, Statistics, merged, picture

RANDOM = np.random.default_rng(11)


def _of(values: object, centre: float = 0.0, sampling: int = 1) -> Statistics:
    return of_arrays([np.asarray(values)], [centre], sampling)[0]


def _same(one: Statistics, other: Statistics) -> None:
    counts = ("count", "zeros", "nans", "pos_infs", "neg_infs", "min", "max", "centre", "sampling")
    for name in counts:
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=0, abs=0, nan_ok=True), name
    assert one.std == pytest.approx(other.std, rel=1e-6, abs=1e-300, nan_ok=True)
    assert one.mean == pytest.approx(other.mean, abs=1e-6 * other.std + 1e-15 * abs(other.mean), nan_ok=True)
    assert one.bins.tolist() == other.bins.tolist()
    assert one.counts.tolist() == other.counts.tolist()


@settings(deadline=None)
@given(
    st.lists(st.lists(st.floats(width=32, allow_nan=True, allow_infinity=True), max_size=12), min_size=1, max_size=6),
    st.sampled_from([0.0, 1.5, -3.0]),
)
def test_shards_add_up_to_the_whole(shards: list[list[float]], centre: float) -> None:
    """The records of any parts, empty ones and such without a finite value too, add up to the record of the whole."""
    parts = [_of(np.array(shard, dtype=np.float32), centre) for shard in shards]
    whole = _of(np.array([value for shard in shards for value in shard], dtype=np.float32), centre)
    _same(merged(parts), whole)


def test_adding_is_sound_far_from_zero() -> None:
    """A thousand steps of a tensor at 1e6 with a deviation of 1e-3 keep that deviation."""
    steps = [RANDOM.normal(1e6, 1e-3, 500) for _ in range(1000)]
    _same(merged([_of(step) for step in steps]), _of(np.concatenate(steps)))


def test_adding_keeps_the_range_of_doubles() -> None:
    """Records whose squares would overflow add up to a finite deviation."""
    total = _of([1e300, -1e300]) + _of([2e300, 3e300])
    assert total.std == pytest.approx(np.std([0.1, -0.1, 0.2, 0.3]) * 1e301)
    assert (_of([1.7e308]) + _of([-1.7e308])).mean == 0.0


def test_a_thinner_sample_weighs_as_much() -> None:
    """A record of every eighth value added to a full one counts eight times, so that neither is favoured."""
    low, high = np.full(65_536, 0.5, dtype=np.float32), np.full(65_536, 4.0, dtype=np.float32)
    total = _of(low, sampling=8) + _of(high, sampling=1)
    assert total.sampling == 1
    assert total.counts.tolist() == [65_536, 65_536]


def test_another_centre_is_spread_into_the_bins() -> None:
    """Histograms about different centres add up to the same total and nearly the same quantiles."""
    values = RANDOM.normal(5, 1, 40_000)
    total = _of(values[:25_000], 5.0) + _of(values[25_000:], 4.5)
    assert total.centre == 5.0
    assert total.counts.sum() == 40_000
    shares = np.array([0.01, 0.25, 0.5, 0.75, 0.99])
    assert total.quantiles(shares) == pytest.approx(np.quantile(values, shares), abs=0.1)


def test_a_record_without_a_histogram_leaves_the_sum_without_one() -> None:
    """A histogram of a part only would mislead, so there is none; a tensor of no values has no say."""
    some = _of(RANDOM.normal(size=100))
    assert not len((some + _of([1.0, 2.0], sampling=0)).bins)
    assert len((some + _of([], sampling=0)).bins)
    assert len((_of([np.nan], sampling=0) + some).bins)


def test_zeros_that_are_not_stored_count() -> None:
    """The record of a sparse tensor is that of its values and of its zeros."""
    _same(_of([1.0, 0.0, -2.0]) + Statistics.of_zeros(5), _of([1.0, 0, -2.0, 0, 0, 0, 0, 0]))
    assert Statistics.of_zeros(0).count == 0


@pytest.mark.parametrize("scale", [1.0, 1.2, 1e-7])
@pytest.mark.parametrize("kind", ["normal", "gradients", "after ReLU", "far from zero", "even"])
def test_quantiles_are_near_the_truth(kind: str, scale: float) -> None:
    """Quantiles are off by a hundredth of a deviation, in the outermost thousandth by a quarter at most."""
    normal = RANDOM.normal(0, scale, 100_000)
    values = {
        "normal": normal,
        "gradients": RANDOM.laplace(0, scale, 100_000),
        "after ReLU": np.maximum(normal, 0),
        "far from zero": normal + 80 * scale,
        "even": RANDOM.uniform(0, scale, 100_000),
    }[kind]
    record = _of(values, _of(values).next_centre())
    shares = np.array([0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999])
    errors = np.abs(record.quantiles(shares) - np.quantile(values, shares)) / values.std()
    assert errors.max() < 0.25
    assert np.median(errors) < 0.02
    assert record.quantiles([0, 1]).tolist() == [values.min(), values.max()]


def test_quantiles_without_a_histogram_are_unknown() -> None:
    """Where no histogram was taken, or no value is finite, the quantiles are NaN."""
    assert np.isnan(_of([1.0, 2.0], sampling=0).quantiles([0.5])).all()
    assert np.isnan(_of([np.nan]).quantiles([0, 0.5])).all()


@pytest.mark.parametrize(
    ("values", "centre"),
    [
        ([0.0, 0.1, -0.1], 0.0),
        ([2.0, 4.0, 0.0], 0.0),
        ([1.0, 1.0, 1.0], 1.0),
        ([1.3, 1.3001], 1.296875),
        ([-7e9, -7.0001e9], -7012876288.0),
        ([np.nan, np.inf], 0.0),
        ([1e35, 1e35], 0.0),
    ],
)
def test_the_next_centre_is_the_mean_of_what_is_far_from_zero(values: Sequence[float], centre: float) -> None:
    """A mean of more than two deviations, rounded to eight bits, is the next centre; else it is zero."""
    assert _of(values).next_centre() == centre


def test_underflow_is_read_from_the_bins() -> None:
    """The share of non-zero values too small for half precision, bfloat16 and eight bits is seen."""
    values = np.concatenate((np.full(300, 2.0**-25), np.full(100, -(2.0**-20)), np.full(500, 1.0), np.zeros(100)))
    record = _of(values)
    assert record.underflow_share("float16") == pytest.approx(300 / 900)
    assert record.underflow_share("bfloat16") == 0
    assert record.underflow_share("float8_e4m3") == pytest.approx(400 / 900)
    assert record.underflow_share("float8_e5m2") == pytest.approx(400 / 900)
    assert _of(np.zeros(9)).underflow_share("float16") == 0
    assert _of([1.0], sampling=0).underflow_share("float16") == 0


@pytest.mark.parametrize("number_format", LEAST_POSITIVE)
def test_the_least_number_of_a_format_is_no_underflow(number_format: str) -> None:
    """What a format can just hold is not counted, of either sign; half of it is."""
    least = LEAST_POSITIVE[number_format]
    assert _of([least, -least, 0.0]).underflow_share(number_format) == 0
    assert _of([least / 2, -least / 2, 0.0]).underflow_share(number_format) == 1


def test_a_picture_has_one_scale_for_all_steps() -> None:
    """Records are redrawn between common edges, every value in one of the bins, near its true place."""
    steps = [RANDOM.normal(0, 1 + step, 50_000) for step in range(3)]
    edges, counts = picture([_of(step) for step in steps] + [Statistics(0)], bins=30)
    assert edges.shape == (31,)
    assert counts.shape == (4, 30)
    assert counts.sum(axis=1) == pytest.approx([50_000, 50_000, 50_000, 0])
    true = np.histogram(steps[2], edges)[0]
    assert np.abs(counts[2, 1:-1] - true[1:-1]).max() < 0.3 * true.max()


def test_a_picture_of_one_value_has_room_around_it() -> None:
    """A constant tensor is one bar in the middle; a lone outlier among constants is still inside the picture."""
    edges, counts = picture([_of(np.ones(100))], bins=5)
    assert counts.tolist() == [[0, 0, 100, 0, 0]]
    assert (edges[0], edges[-1]) == (0.5, 1.5)
    edges, counts = picture([_of([0.0] * 5000 + [8.0])], bins=4)
    assert (edges[0], edges[-1]) == (0.0, 8.0)
    assert counts.sum() == pytest.approx(5001)
    assert picture([Statistics(0)], bins=4)[1].tolist() == [[0, 0, 0, 0]]


def test_norm_and_shares_of_nothing_are_zero() -> None:
    """An empty tensor has norm 0 and no share of zeros."""
    assert (Statistics(0).l2, Statistics(0).zero_share) == (0.0, 0.0)
    assert _of([0.0, 3.0, 4.0, 0.0]).l2 == pytest.approx(5)
    assert _of([0.0, 3.0, 4.0, 0.0]).zero_share == 0.5


def test_every_bin_has_its_place_between_rising_edges() -> None:
    """The edges rise, and place_of and bin_at are each other's inverse."""
    assert len(EDGES) == 1021
    assert (np.diff(EDGES) > 0).all()
    places = np.arange(1020)
    assert place_of(bin_at(places)).tolist() == places.tolist()
    assert math.isclose(EDGES[place_of(np.array([2], dtype=np.uint16))[0]], 2.0**-126)
