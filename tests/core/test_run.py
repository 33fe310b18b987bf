"""A run keeps everything it is given, raises nothing into a training, and says how it ended."""

import argparse
import dataclasses
import math
import os
import pickle
import random
import socket
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import barograph
from barograph import BarographWarning, testing


def _script(store: Path, body: str, *, check: bool = False, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(body)],
        env={**os.environ, "BAROGRAPH_STORE": str(store), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=check,
    )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_what_was_logged_is_read_back_to_the_bit() -> None:
    """Steps in any order, repeated and negative, and every kind of double, come back as written."""
    with testing.temporary_run() as temporary:
        values = [0.1, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308]
        for step, value in zip([5, 3, 3, -2, 10**15, 0], values, strict=True):
            temporary.run.log({"x": value}, step=step)
        metric = temporary.view().metric("x")
    assert metric.steps.tolist() == [-2, 0, 3, 3, 5, 10**15]
    expected = np.array([values[3], values[5], values[1], values[2], values[0], values[4]])
    assert metric.values.tobytes() == expected.tobytes()
    assert metric.steps.dtype == np.int64
    assert metric.times.dtype == np.float64


def test_without_a_step_calls_are_counted() -> None:
    """step=None is the number of calls so far, whatever was logged in them."""
    with testing.temporary_run() as temporary:
        temporary.run.log({"a": 1.0})
        temporary.run.log({"a": np.float32(2)})
        temporary.run.log({"a": 3.0})
        assert temporary.view().metric("a").steps.tolist() == [0, 1, 2]


def test_values_of_every_kind_are_kept_and_warned_about_once() -> None:
    """Numbers of any library are points; the rest is text; one warning covers them all."""
    with testing.temporary_run() as temporary:
        with pytest.warns(BarographWarning) as caught:
            temporary.run.log({"good": np.float64(1.5), "none": None, "text": "hello", "big": 10**400, "n": 2**63 - 1})
            temporary.run.log({"none": None})
        assert len(caught) == 1
        view = temporary.view()
        assert view.metric("good").values.tolist() == [1.5]
        assert view.metric("n").values.tolist() == [float(2**63 - 1)]
        assert [text.text for text in view.texts("n")] == [str(2**63 - 1)]
        assert [text.text for text in view.texts("big")] == [str(10**400)]
        assert [text.text for text in view.texts("text")] == ["hello"]
        assert len(view.texts("none")) == 2


def test_odd_keys_stay_apart() -> None:
    """Keys that look like paths, like each other or like our own columns are all kept, none merged."""
    keys = [
        "a//b",
        "/a",
        "a/",
        "a",
        "a/b",
        "a_b",
        "A",
        "../../x",
        "con",
        "step",
        "key",
        "time",
        "__proto__",
        "x" * 1024,
        "a\nb",
    ]
    with testing.temporary_run() as temporary:
        for number, key in enumerate(keys):
            temporary.run.log({key: float(number)}, step=0)
        view = temporary.view()
        assert {key: view.metric(key).values.tolist() for key in keys} == {
            key: [float(n)] for n, key in enumerate(keys)
        }
        assert not (temporary.run.store_path.parent / "x").exists()


@pytest.mark.parametrize("key", ["", "   ", 3, None, ("a",), "k" * 10_000, "a\udc80b"])
def test_keys_that_need_changing_are_kept_with_a_warning(key: object) -> None:
    """The value is there under a visible name."""
    with testing.temporary_run() as temporary:
        with pytest.warns(BarographWarning, match="name"):
            temporary.run.log({key: 1.0})  # type: ignore[dict-item]
        (kept,) = temporary.view().metrics()
        assert kept.strip()


@pytest.mark.parametrize("step", ["x", math.nan, 2**63, 1.5])
def test_odd_steps_lose_no_value(step: object) -> None:
    """Whatever the step is, the point is kept and a warning says what became of the step."""
    with testing.temporary_run() as temporary:
        with pytest.warns(BarographWarning, match="step"):
            temporary.run.log({"x": 1.0}, step=step)  # type: ignore[arg-type]
        assert temporary.view().metric("x").values.tolist() == [1.0]


def test_a_dict_changed_by_another_thread_is_no_error() -> None:
    """Logging a dict while another thread adds to it raises nothing."""
    shared: dict[str, object] = {f"k{n}": np.float64(n) for n in range(50)}
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            shared["extra"] = np.float64(1)
            shared.pop("extra", None)

    thread = threading.Thread(target=change)
    with testing.temporary_run() as temporary:
        thread.start()
        for step in range(200):
            temporary.run.log(shared, step=step)
        stop.set()
        thread.join()
        assert len(temporary.view().metric("k0").steps) == 200


def test_ten_thousand_keys_in_one_call() -> None:
    """A very wide call is kept whole."""
    with testing.temporary_run() as temporary:
        temporary.run.log({f"k{n}": float(n) for n in range(25_000)}, step=7)
        temporary.run.log({f"n{n}": np.float64(n) for n in range(25_000)}, step=8)
        view = temporary.view()
        assert len([key for key in view.metrics() if not key.startswith("system/")]) == 50_000
        assert view.metric("n24999").values.tolist() == [24_999.0]


def test_threads_share_a_run() -> None:
    """Eight threads lose nothing and keep their own order."""
    with testing.temporary_run() as temporary:

        def work(number: int) -> None:
            for step in range(2_000):
                temporary.run.log({f"thread{number}": float(step)}, step=step)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        view = temporary.view()
        for number in range(8):
            assert view.metric(f"thread{number}").values.tolist() == [float(step) for step in range(2_000)]


def test_config_keeps_what_can_be_said_in_json() -> None:
    """Nested settings, dataclasses, namespaces and later additions are one readable configuration."""

    @dataclasses.dataclass
    class Optimizer:
        lr: float = 1e-3

    with testing.temporary_run(config={"model": {"layers": 2}, "optimizer": Optimizer()}) as temporary:
        temporary.run.log_config({"model": {"width": 8}})
        temporary.run.log_config(argparse.Namespace(seed=3))
        config = temporary.view().config
    assert config == {"model": {"layers": 2, "width": 8}, "optimizer": {"lr": 1e-3}, "seed": 3}


def test_config_with_anything_in_it_is_no_error() -> None:
    """Locks, functions, itself: stored as text, and the run goes on."""
    config: dict[object, object] = {"lock": threading.Lock(), "f": print, 3: {1, 2}, "module": os}
    config["itself"] = config
    with warnings.catch_warnings(), testing.temporary_run() as temporary:
        warnings.simplefilter("ignore", BarographWarning)
        temporary.run.log_config(config)
        assert set(temporary.view().config) == {"lock", "f", "3", "module", "itself"}


def test_secrets_in_the_config_do_not_reach_the_disk() -> None:
    """A password is redacted, a count called tokens is not."""
    with testing.temporary_run(config={"password": "correct horse battery", "max_tokens": 4096}) as temporary:
        assert temporary.view().config["max_tokens"] == 4096
        written = b"".join(path.read_bytes() for path in temporary.run.path.rglob("*") if path.is_file())
    assert b"correct horse" not in written


def test_texts_images_and_tables_are_kept() -> None:
    """Each comes back as it was given; a long text comes back whole."""
    with testing.temporary_run() as temporary:
        run = temporary.run
        run.log({"x": 1.0}, step=4)
        run.log_text("note", "short")
        run.log_text("long", "line\n" * 100_000)
        run.log_image("picture", np.zeros((4, 6, 3), np.uint8), step=2)
        run.log_table("scores", [{"a": 1, "b": "x"}, {"a": 2}])
        view = temporary.view()
        assert [(text.step, text.text) for text in view.texts("note")] == [(4, "short")]
        assert view.texts("long")[0].text == "line\n" * 100_000
        (image,) = view.images()
        assert (image.key, image.step, image.width, image.height) == ("picture", 2, 6, 4)
        assert image.path.read_bytes().startswith(b"\x89PNG")
        (table,) = view.tables()
        assert (table.columns, table.rows) == (["a", "b"], [[1, "x"], [2, None]])


@pytest.mark.parametrize("is_sealed", [False, True], ids=["journal", "sealed"])
def test_a_histogram_comes_back_with_exact_figures(is_sealed: bool) -> None:
    """Counts, extremes and moments are exact, quantiles close; the same from the journal and once sealed."""
    values = np.random.default_rng(0).normal(size=10_000)
    run = barograph.init(quiet=True)
    for step in (0, 10):
        run.log_histogram("weights/fc", values + step, step=step)
    run.finish()
    store = barograph.open()
    if is_sealed:
        store.seal(run.id)
    histogram = store.run(run.id).histogram("weights/fc")
    assert histogram.steps.tolist() == [0, 10]
    assert histogram.counts.sum(axis=1) == pytest.approx([10_000, 10_000])
    assert len(histogram.edges) == histogram.counts.shape[1] + 1
    assert histogram.records[0].mean == pytest.approx(values.mean(), abs=1e-9)
    assert histogram.quantiles[:, [0, -1]].tolist() == [
        [values.min(), values.max()],
        [(values + 10).min(), (values + 10).max()],
    ]
    assert histogram.quantiles[0, 4] == pytest.approx(np.median(values), abs=0.05)


@pytest.mark.expects_guard
def test_a_picture_that_is_none_is_one_warning() -> None:
    """What cannot be drawn is refused with one warning, and the training goes on."""
    with testing.temporary_run() as temporary:
        with pytest.warns(BarographWarning, match="log_image"):
            temporary.run.log_image("x", object())
        temporary.run.log({"after": 1.0})
        assert temporary.view().metrics() == ["after"]


def test_events_carry_what_belongs_to_them() -> None:
    """An event has a name, the step it happened at, and its data."""
    with testing.temporary_run() as temporary:
        temporary.run.log({"x": 1.0}, step=9)
        temporary.run.event("early_stop", monitor="val/loss", best=0.2, patience=3)
        (event,) = temporary.view().events("early_stop")
    assert (event.step, event.data) == (9, {"monitor": "val/loss", "best": 0.2, "patience": 3})


def test_a_run_is_finished_once_and_tells_its_summary() -> None:
    """finish() closes the run; again does nothing; the summary and the cost are there."""
    run = barograph.init(project="p", name="n", tags=["t"], notes="why", group="g")
    assert barograph.current_run() is run
    for step in range(10):
        run.log({"loss": 1.0 / (step + 1)}, step=step)
    run.finish()
    run.finish()
    assert barograph.current_run() is None
    view = barograph.open().run("n")
    assert (view.status, view.project, view.tags, view.notes, view.group) == ("finished", "p", ["t"], "why", "g")
    assert view.summary["loss"] == pytest.approx(0.1)
    assert view.overhead["total_s"] > 0
    assert "log" in view.overhead["hooks"]


def test_log_after_finish_is_one_warning() -> None:
    """What comes after the end is not kept, and that is said once."""
    run = barograph.init()
    run.finish()
    with pytest.warns(BarographWarning, match="after finish") as caught:
        run.log({"x": 1.0})
        run.log({"x": 1.0})
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("error", "status"),
    [(ZeroDivisionError("the user's"), "failed"), (KeyboardInterrupt(), "interrupted"), (SystemExit(0), "finished")],
)
def test_a_body_that_raises_ends_the_run_accordingly(error: BaseException, status: str) -> None:
    """The exception passes unchanged, and the run says how it ended."""
    with pytest.raises(type(error)) as raised, barograph.init(name="n") as run:
        run.log({"x": 1.0}, step=3)
        raise error
    assert raised.value is error
    view = barograph.open().run("n")
    assert view.status == status
    if status == "failed":
        assert view.error is not None
        assert view.error.type == "ZeroDivisionError"
        assert "the user's" in view.error.traceback
        assert view.error.step == 3


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("", "finished"), ("raise ValueError('x')", "failed"), ("raise KeyboardInterrupt", "interrupted"),
        ("import os; os._exit(1)", "killed"), ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "killed"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed"),
    ],
)  # fmt: skip
def test_how_a_process_ended_is_how_its_run_ended(store: Path, end: str, status: str) -> None:
    """However a script ends, what it logged is there and the status says how it went."""
    _script(store, f"import barograph\nrun = barograph.init(name='n')\nrun.log({{'x': 1.0}}, step=1)\n{end}")
    view = barograph.open().run("n")
    assert view.status == status
    assert view.metric("x").values.tolist() == [1.0]


def test_a_running_process_is_shown_running(store: Path) -> None:
    """While the process lives its run is running, and its points can be read."""
    with barograph.init(name="n") as run:
        run.log({"x": 1.0})
        assert barograph.open().run("n").status == "running"
        assert barograph.open().run("n").metric("x").values.tolist() == [1.0]


def test_the_terminal_gets_two_lines_and_a_table(store: Path) -> None:
    """A script says where it records and, at the end, what came out; quiet=True says nothing."""
    body = "import barograph\nwith barograph.init(name='n', quiet={}) as run:\n    run.log({{'val/loss': 0.5}}, step=1)"
    loud, quiet = _script(store, body.format(False)), _script(store, body.format(True))
    assert "recorded in" in loud.stderr
    assert "barograph show n" in loud.stderr
    assert "val/loss" in loud.stderr
    assert "finished" in loud.stderr
    assert (loud.stdout, quiet.stdout, quiet.stderr) == ("", "", "")


def test_other_ranks_are_silent(store: Path) -> None:
    """Only rank 0 speaks."""
    result = _script(
        store, "import barograph\nbarograph.init().finish()", RANK="1", WORLD_SIZE="2", TORCHELASTIC_RUN_ID="x"
    )
    assert result.stderr == ""


@pytest.mark.parametrize("closing", ["sys.stderr = None", "sys.stderr.close()", "os.close(2)"])
def test_a_missing_stderr_is_no_error(store: Path, closing: str) -> None:
    """With stderr closed or gone the run is recorded all the same."""
    body = f"import os, sys, barograph\n{closing}\n"
    body += "with barograph.init(name='n') as run:\n    run.log({'x': None, 'y': 1.0})"
    assert _script(store, body).returncode == 0
    assert barograph.open().run("n").status == "finished"


def test_what_a_program_prints_to_a_closed_stderr_does_not_reach_the_journal(store: Path) -> None:
    """The journal never takes the number of a standard stream, so stray prints cannot damage it."""
    body = """
        import os, barograph
        os.close(2)
        with barograph.init(name="n", quiet=True) as run:
            for step in range(100):
                run.log({"x": float(step)}, step=step)
                try:
                    os.write(2, b"noise from somewhere else")
                except OSError:
                    pass
    """
    assert _script(store, body).returncode == 0
    view = barograph.open().run("n")
    assert len(view.metric("x").steps) == 100
    assert not view.damage


def test_a_pipe_that_nobody_reads_changes_no_exit_status(store: Path) -> None:
    """stderr into a reader that has gone: the run is recorded, the status is that of the script."""
    body = "import barograph\nwith barograph.init(name='n') as run:\n    run.log({'x': 1.0, 'y': None})"
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as stderr:
        process = subprocess.run([sys.executable, "-c", body], stderr=stderr, timeout=60, check=False)
    assert process.returncode == 0
    assert barograph.open().run("n").status == "finished"


def test_switched_off_it_writes_nothing(store: Path) -> None:
    """BAROGRAPH_MODE=disabled: every call works, no file appears."""
    body = """
        import barograph
        with barograph.init(config={"a": 1}) as run:
            run.log({"x": 1.0}); run.log({"x": None}); run.event("e"); run.log_text("t", "x")
            assert run.health == "ok" and run.pending == 0
            barograph.log({"x": 2.0})
    """
    assert _script(store, body, check=True, BAROGRAPH_MODE="disabled").stderr == ""
    assert not store.exists()


def test_a_resumed_run_goes_on_in_a_new_attempt() -> None:
    """resume=True: the same run, a new journal, steps counted on, both attempts kept."""
    first = barograph.init(id="mine", name="n")
    for value in (1.0, 2.0):
        first.log({"x": value})
    first.finish()
    second = barograph.init(id="mine", resume=True)
    second.log({"x": 3.0})
    second.finish()
    view = barograph.open().run("mine")
    assert (view.attempts, view.name) == ([1, 2], "n")
    assert view.metric("x").steps.tolist() == [0, 1, 2]
    assert view.metric("x").values.tolist() == [1.0, 2.0, 3.0]


def test_a_rewound_attempt_supersedes_in_the_view_and_loses_nothing() -> None:
    """Attempt 2 repeats steps from a checkpoint: the view takes its points, attempt="all" has both."""
    for attempt, steps in enumerate(([0, 1, 2, 3], [2, 3, 4])):
        with barograph.init(id="mine", resume=attempt > 0) as run:
            for step in steps:
                run.log({"x": float(10 * attempt + step)}, step=step)
    view = barograph.open().run("mine")
    assert view.metric("x").values.tolist() == [0.0, 1.0, 12.0, 13.0, 14.0]
    assert len(view.metric("x", attempt="all").values) == 7
    assert view.metric("x", attempt=1).values.tolist() == [0.0, 1.0, 2.0, 3.0]


def test_an_id_that_exists_is_another_attempt_with_a_warning() -> None:
    """Without resume=True nothing is overwritten and nothing refused."""
    barograph.init(id="mine").finish()
    with pytest.warns(BarographWarning, match="resume=True"):
        barograph.init(id="mine").finish()
    assert barograph.open().run("mine").attempts == [1, 2]


def test_wrong_arguments_are_told_at_once() -> None:
    """All mistakes in one message, before anything is made."""
    with pytest.raises(TypeError, match=r"project.*tags"):
        barograph.init(project=3, tags="a")  # type: ignore[arg-type]


def test_a_store_that_cannot_be_written_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run goes to a fallback folder that the warning names."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with pytest.warns(BarographWarning, match="kept in") as caught:
        run = barograph.init(store=tmp_path / "file" / "store")
    run.log({"x": 1.0})
    run.finish()
    assert str(run.store_path) in str(caught[0].message)
    assert barograph.open(run.store_path).run(run.id).metric("x").values.tolist() == [1.0]


def test_two_runs_of_a_script_are_independent() -> None:
    """The newest is current; when it ends the other is again."""
    first, second = barograph.init(name="first"), barograph.init(name="second")
    barograph.log({"x": 2.0})
    second.finish()
    barograph.log({"x": 1.0})
    first.finish()
    store = barograph.open()
    assert store.run("first").metric("x").values.tolist() == [1.0]
    assert store.run("second").metric("x").values.tolist() == [2.0]


def test_a_pickled_run_is_itself_here_and_a_child_elsewhere(store: Path, tmp_path: Path) -> None:
    """In its process a pickled run is the run; in another one it makes a child."""
    run = barograph.init(name="n")
    assert pickle.loads(pickle.dumps(run)) is run
    (tmp_path / "run.pickle").write_bytes(pickle.dumps(run))
    _script(
        store, f"import pickle\npickle.load(open({str(tmp_path / 'run.pickle')!r}, 'rb')).log({{'x': 1.0}})", check=True
    )
    run.finish()
    (child,) = barograph.open().run("n").children()
    assert child.metric("x").values.tolist() == [1.0]


def test_a_forked_child_writes_a_journal_of_its_own(store: Path) -> None:
    """After fork both processes log, nothing is mixed, and the child's end does not end the run."""
    body = """
        import os, barograph
        run = barograph.init(name="n")
        run.log({"parent": 1.0}, step=0)
        pid = os.fork()
        if pid == 0:
            run.log({"child": 2.0}, step=0)
            raise SystemExit(0)
        os.waitpid(pid, 0)
        run.log({"parent": 3.0}, step=1)
    """
    _script(store, body, check=True)
    view = barograph.open().run("n")
    assert view.status == "finished"
    assert view.metric("parent").values.tolist() == [1.0, 3.0]
    assert view.metric("child", rank=None).values.tolist() == [2.0]


def test_random_state_and_signal_handlers_are_left_alone() -> None:
    """init, log and finish draw no random number and install no handler."""
    import signal

    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
    random.seed(3)
    np.random.seed(3)
    expected = random.getstate(), np.random.get_state()[1].tolist()
    with testing.temporary_run() as temporary:
        temporary.run.log({"x": 1.0})
    assert (random.getstate(), np.random.get_state()[1].tolist()) == expected
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)] == handlers


def test_device_values_are_written_once_they_arrive() -> None:
    """A value still on a device is pending until it is there; nobody waits for it."""
    from barograph import values

    class Later:
        device = "cuda:0"
        arrived = False

        def is_ready(self) -> bool:
            return self.arrived

        def get(self) -> float:
            return 0.5

    Later.__module__ = "somewhere"
    values.register_converter("somewhere", lambda value: value)
    later = Later()
    with testing.temporary_run() as temporary:
        temporary.run.log({"loss": later, "here": 1.0}, step=3)
        assert temporary.run.pending == 1
        assert temporary.view().metrics() == ["here"]
        later.arrived = True
        deadline = time.monotonic() + 10
        while temporary.run.pending and time.monotonic() < deadline:
            time.sleep(0.01)
        metric = temporary.view().metric("loss")
    assert (metric.steps.tolist(), metric.values.tolist()) == ([3], [0.5])


def test_the_system_is_sampled_with_the_last_step() -> None:
    """Even a short run has figures of the machine, at the step it had reached."""
    with testing.temporary_run() as temporary:
        temporary.run.log({"x": 1.0}, step=41)
        deadline = time.monotonic() + 20
        while "system/process_memory_bytes" not in temporary.view().metrics() and time.monotonic() < deadline:
            time.sleep(0.05)
        metric = temporary.view().metric("system/process_memory_bytes")
    assert metric.steps[0] == 41
    assert metric.values[0] > 1e6


@pytest.mark.parametrize("options", [["--standalone"], ["--master-port", "PORT"]], ids=["standalone", "default"])
def test_two_processes_under_torchrun_make_one_run(store: Path, tmp_path: Path, options: list[str]) -> None:
    """Two ranks with gloo: one run, a writer a rank, each with its own points."""
    options = [str(_free_port()) if option == "PORT" else option for option in options]
    pytest.importorskip("torch")
    script = tmp_path / "train.py"
    script.write_text(
        "import torch.distributed as dist, barograph\n"
        "dist.init_process_group('gloo')\n"
        "with barograph.init(name='n') as run:\n"
        "    run.log({'x': float(dist.get_rank())}, step=0)\n"
        "dist.destroy_process_group()\n"
    )
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", *options, str(script)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=True,
        timeout=120,
    )
    (view,) = barograph.open().runs()
    assert view.status == "finished"
    assert [view.metric("x", rank=rank).values.tolist() for rank in (0, 1)] == [[0.0], [1.0]]


def test_twenty_processes_write_to_one_store_at_once(store: Path) -> None:
    """Nothing lost, nothing mixed."""
    body = """
        import sys, barograph
        with barograph.init(name=sys.argv[1], quiet=True) as run:
            for step in range(500):
                run.log({"x": float(sys.argv[1]) * 1000 + step}, step=step)
    """
    processes = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(body), str(number)], env=os.environ)
        for number in range(20)
    ]
    assert [process.wait(120) for process in processes] == [0] * 20
    views = {view.name: view for view in barograph.open().runs()}
    assert len(views) == 20
    for number in range(20):
        expected = [number * 1000.0 + step for step in range(500)]
        assert views[str(number)].metric("x").values.tolist() == expected


def test_import_starts_nothing_and_loads_nothing_heavy() -> None:
    """`import barograph` loads no numpy, DuckDB or framework, and starts no thread."""
    code = (
        "import sys, threading, signal; before = signal.getsignal(signal.SIGTERM), sys.excepthook; import barograph\n"
        "heavy = {'numpy', 'duckdb', 'torch', 'psutil', 'pynvml', 'pandas', 'sqlite3', 'asyncio'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert threading.active_count() == 1 and before == (signal.getsignal(signal.SIGTERM), sys.excepthook)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
