"""Journals of every released format are read to the exact values; see tests/data/journals/README.md."""

import math
import struct
from pathlib import Path

import numpy as np

from barograph.journal.reader import read_journal

JOURNALS = Path(__file__).parents[2] / "data" / "journals"
T = 1790000002.0


def test_format_1_is_read_as_it_was_written() -> None:
    """Every value of a journal that 0.1.0 wrote."""
    contents = read_journal(JOURNALS / "a2-r1-frozen01.journal")
    assert contents.header == {
        "format": 1, "run_id": "20261124-120000-frozen", "writer_id": "a2-r1-frozen01", "rank": 1, "world": 4,
        "attempt": 2, "role": "main", "host": "barometer", "boot_id": None, "pid": 4242, "pid_start_s": 1790000000.25,
        "created": 1790000001.5, "barograph": "0.1.0",
    }  # fmt: skip
    steps = np.arange(1200)
    curves = {"train/loss": 1.0 / (steps + 1), "train/accuracy": steps / 1200, "lr/sgd": np.full(1200, 0.1)}
    for name, values in curves.items():
        series = contents.series[name]
        assert (series.steps == steps).all()
        assert (series.times == T + steps).all()
        assert (series.values == values).all()
    extreme = contents.series["extreme"]
    assert extreme.steps.tolist() == [-3, -2, -1, 0, 1, 2, 3]
    assert extreme.values.tobytes() == struct.pack(
        "<7d", math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308, 0.1
    )
    for name, value in {"\N{SNOWMAN} snow": 1.0, "lone \ud800": 2.0, "nul \0": 3.0}.items():
        assert contents.series[name].values.tolist() == [value]
    assert contents.series["nul \0"].steps.tolist() == [2**63 - 1]
    assert len(contents.series) == 7
    assert [(record.kind, record.time_s - T, record.step, record.body) for record in contents.records] == [
        ("config", 3001.0, None, {"config": {"lr": 0.1, "layers": [1, 2, 3], "name": "caf\xe9"}}),
        ("text", 3002.0, 7, {"key": "note", "text": "\ud800\N{SNOWMAN}"}),
        ("event", 3003.0, 1199, {"name": "early_stop", "data": {"best": math.inf}}),
        ("end", 3011.0, 1199, {"status": "finished", "reason": None, "error": None, "duration_s": 3011.0}),
    ]  # fmt: skip
    assert [payload for _, payload in contents.statistics] == [b"\x01statistics"]
    assert contents.last_beat is not None
    assert tuple(contents.last_beat)[1:] == (T + 3010, 3110.5, 1199, 2)
    (gap,) = contents.damage.gaps
    assert gap == {
        "records": 3, "points": 15, "bytes": 400, "from_s": T, "to_s": T + 10, "reason": "No space left on device",
    }  # fmt: skip
    damage = contents.damage
    assert (damage.lost_frames, damage.damaged_bytes, damage.torn_tail_bytes, damage.places) == (0, 0, 0, [])
