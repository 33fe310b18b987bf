"""The command line, run as a user runs it."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import barograph


def _barograph(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "barograph", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def run_name(store: Path) -> str:
    """A finished run with two metrics, settings and an event."""
    with barograph.init(name="first", project="digits", config={"optimizer": {"lr": 0.1}}, quiet=True) as run:
        for step in range(10):
            run.log({"train/loss": 1.0 / (step + 1), "val/accuracy": step / 10}, step=step)
        run.event("early_stop", monitor="val/accuracy", patience=3)
    return "first"


def test_ls_lists_runs_with_their_last_values(run_name: str) -> None:
    """A line a run, newest first."""
    barograph.init(name="second", quiet=True).finish()
    lines = _barograph("ls").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["run", "second", "first"]
    assert "digits" in lines[2]
    assert "finished" in lines[2]
    assert "0.9" in lines[2]


def test_ls_filters_by_its_own_language(run_name: str) -> None:
    """--where takes settings, metrics and the run's own fields."""
    assert "first" in _barograph("ls", "--where", "optimizer.lr < 0.5 and train/loss < 0.2").stdout
    assert "first" not in _barograph("ls", "--where", "optimizer.lr > 0.5").stdout


def test_show_tells_settings_metrics_and_events(run_name: str) -> None:
    """What one wants to know of a run is on one screen."""
    shown = _barograph("show", run_name).stdout
    for expected in ("finished", "optimizer.lr", "train/loss", "early_stop", "patience=3", "digits"):
        assert expected in shown
    (loss,) = [line for line in shown.splitlines() if "train/loss" in line]
    assert "█" in loss
    assert " 9 " in loss
    assert loss.split()[-1] == "10"


def test_show_puts_results_before_what_goes_on_inside(store: Path) -> None:
    """A model of many layers does not bury the loss; --all shows its figures."""
    with barograph.init(name="deep", quiet=True) as run:
        run.log({f"gradients/layer{n}/norm": 1.0 for n in range(50)} | {"lr/group": 0.1, "train/loss": 2.0}, step=0)
    shown = _barograph("show", "deep").stdout
    assert shown.index("train/loss") < shown.index("lr/group") < shown.index("50 figures from inside the model")
    assert "gradients/layer7/norm" not in shown
    assert "gradients/layer7/norm" in _barograph("show", "deep", "--all").stdout


def test_show_tells_why_a_run_failed(store: Path) -> None:
    """Type, message and traceback of the exception are shown."""
    with pytest.raises(ZeroDivisionError), barograph.init(name="broken", quiet=True):
        raise ZeroDivisionError("division by zero, of all things")
    shown = _barograph("show", "broken").stdout
    assert "failed" in shown
    assert "ZeroDivisionError: division by zero, of all things" in shown
    assert "test_show_tells_why" in shown


@pytest.mark.parametrize("command", ["ls", "show", "export", "sql", "verify", "seal", "where", "tail"])
def test_every_command_prints_json(run_name: str, tmp_path: Path, command: str) -> None:
    """--json is one document, or for tail one a line, without NaN or other inventions."""
    arguments = {
        "show": [run_name],
        "export": [run_name, "-o", str(tmp_path / "points.csv")],
        "sql": ["select count(*) as points from metrics"],
        "tail": [run_name],
    }.get(command, [])
    printed = _barograph(command, *arguments, "--json")
    assert printed.returncode == 0, printed.stderr
    for document in printed.stdout.splitlines() if command == "tail" else [printed.stdout]:
        json.loads(document, parse_constant=lambda word: pytest.fail(word))


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_export_writes_every_point(run_name: str, tmp_path: Path, form: str) -> None:
    """Each format holds the same points, to the bit."""
    target = tmp_path / f"points.{form}"
    assert _barograph("export", run_name, "-o", str(target), "--metric", "train/loss").returncode == 0
    if form == "csv":
        values = [float(row["value"]) for row in csv.DictReader(target.read_text().splitlines())]
    elif form == "jsonl":
        values = [json.loads(line)["value"] for line in target.read_text().splitlines()]
    else:
        duckdb = pytest.importorskip("duckdb")
        values = [row[0] for row in duckdb.sql(f"select value from '{target}' order by step").fetchall()]
    assert values == [1.0 / (step + 1) for step in range(10)]


def test_export_leaves_no_half_file_and_replaces_nothing(run_name: str, tmp_path: Path) -> None:
    """An existing file is left alone unless forced, and a failed export leaves nothing."""
    target = tmp_path / "points.csv"
    target.write_text("mine")
    assert _barograph("export", run_name, "-o", str(target)).returncode == 2
    assert target.read_text() == "mine"
    assert _barograph("export", run_name, "-o", str(target), "--force").returncode == 0
    assert target.read_text().startswith("key,step,time,value")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".points")] == []
    if Path("/dev/full").exists():
        full = _barograph("export", run_name, "-o", "/dev/shm/no-such-folder/points.csv")
        assert full.returncode == 2
        assert "Traceback" not in full.stderr


def test_exported_keys_cannot_be_formulas(store: Path) -> None:
    """A key that a spreadsheet would run is made text."""
    with barograph.init(name="n", quiet=True) as run:
        run.log({"=1+1": 1.0, "@x": 2.0})
    rows = list(csv.DictReader(_barograph("export", "n").stdout.splitlines()))
    assert {"'=1+1", "'@x"} <= {row["key"] for row in rows}


def test_sql_asks_the_tables(run_name: str) -> None:
    """A query over runs, params, metrics and events."""
    query = "select count(*) as n from metrics where key = 'train/loss'"
    assert json.loads(_barograph("sql", query, "--json").stdout) == [{"n": 10}]


def test_verify_finds_a_flipped_bit_and_changes_nothing(store: Path) -> None:
    """Damage is exit status 1 with a place; the file stays as it was."""
    with barograph.init(name="n", quiet=True) as run:
        for step in range(100):
            run.log({"x": float(step)}, step=step)
    assert _barograph("verify").returncode == 0
    (journal,) = run.path.glob("journals/*.journal")
    damaged = bytearray(journal.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    journal.write_bytes(damaged)
    result = _barograph("verify")
    assert result.returncode == 1
    assert str(journal) in result.stdout
    assert journal.read_bytes() == bytes(damaged)
    assert "damaged" in _barograph("show", "n").stdout


def test_seal_makes_parquet_and_verify_accepts_it(run_name: str, store: Path) -> None:
    """After sealing the journal is gone, the points are the same, and verify is content."""
    before = barograph.open().run(run_name).metric("train/loss").values.tolist()
    assert _barograph("seal").returncode == 0
    run = barograph.open().run(run_name)
    assert list(run.path.glob("segments/*.parquet"))
    assert not list(run.path.glob("journals/*.journal"))
    assert run.metric("train/loss").values.tolist() == before
    assert _barograph("verify").returncode == 0


def test_rm_asks_and_refuses_a_live_run(run_name: str, store: Path) -> None:
    """Without --yes, and for a run that is being written, nothing is removed."""
    assert _barograph("rm", run_name).returncode == 2
    with barograph.init(name="live", quiet=True):
        refused = _barograph("rm", "live", "--yes")
        assert refused.returncode == 2
        assert "live" in refused.stderr
    removed = _barograph("rm", run_name, "--yes")
    assert removed.returncode == 0, removed.stderr
    assert [view.name for view in barograph.open().runs()] == ["live"]
    assert list((store / "trash").iterdir())


def test_where_names_the_store(store: Path) -> None:
    """With and without a store, the path is told."""
    assert str(store) in _barograph("where").stdout
    assert "not made yet" in _barograph("where").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "nope"], ["ls", "--where", "lr <"], ["sql", "select nonsense"], ["verify", "nope"], ["tail", "nope"],
        ["ls", "--store", "/nowhere"],
    ],
)  # fmt: skip
def test_a_users_mistake_is_one_line(run_name: str, arguments: list[str]) -> None:
    """Exit status 2, a sentence on stderr, no traceback."""
    result = _barograph(*arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("barograph: ")
    assert "Traceback" not in result.stderr


def test_control_characters_cannot_play_with_the_terminal(store: Path) -> None:
    """Escapes in names, keys, settings and events are shown, not sent."""
    nasty = "a\x1b[31mred\u202eb\nc"
    with barograph.init(name=nasty, project=nasty, config={nasty: nasty}, quiet=True) as run:
        run.log({nasty: 1.0})
        run.event(nasty, what=nasty)
    for command in (["ls"], ["show", run.id, "--all"], ["tail", run.id]):
        printed = _barograph(*command).stdout
        assert "\x1b" not in printed
        assert "\u202e" not in printed
        assert "\\x1b[31mred" in printed


def test_a_terminal_without_utf8_gets_escapes(run_name: str) -> None:
    """LC_ALL=C and no UTF-8 mode: no UnicodeEncodeError."""
    result = _barograph("show", run_name, LC_ALL="C", PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert result.returncode == 0, result.stderr


def test_output_into_head_ends_quietly(run_name: str) -> None:
    """A reader that goes away is no error message."""
    result = subprocess.run(
        f"{sys.executable} -m barograph sql 'select * from range(200000)' | head -1; echo ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert result.stderr == ""
    assert result.stdout.splitlines()[-1] in ("141", "0")


def test_tail_follows_a_live_run_to_its_end(store: Path) -> None:
    """Points appear while they are written, and tail ends with the run."""
    run = barograph.init(name="live", quiet=True)
    run.log({"x": 1.0}, step=1)
    process = subprocess.Popen(
        [sys.executable, "-m", "barograph", "tail", "live", "--metric", "x"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert "step 1" in process.stdout.readline()
    run.log({"x": 2.0}, step=2)
    assert "step 2" in process.stdout.readline()
    run.finish()
    assert process.wait(30) == 0
    assert "finished" in process.stdout.read()
    process.stdout.close()


def test_tail_is_ended_by_ctrl_c(store: Path) -> None:
    """Ctrl-C is exit status 130 without a traceback."""
    with barograph.init(name="live", quiet=True) as run:
        run.log({"x": 1.0})
        process = subprocess.Popen(
            [sys.executable, "-m", "barograph", "tail", "live"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == ""
