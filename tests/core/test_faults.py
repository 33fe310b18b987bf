"""Whole trainings under faults of their surroundings: they end as without us, and what was lost is counted."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import barograph

_HAS_MOUNTS = (
    sys.platform == "linux"
    and shutil.which("unshare") is not None
    and subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0
)
needs_mounts = pytest.mark.skipif(not _HAS_MOUNTS, reason="mounting a small disk needs privileges that are not here")


def _train(body: str, store: Path, *, wrap: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    script = store.parent / "train.py"
    script.write_text(textwrap.dedent(body))
    command = [sys.executable, str(script)]
    if wrap:
        command = ["unshare", "--mount", "sh", "-c", f"{wrap} && exec {sys.executable} {script}"]
    return subprocess.run(
        command,
        env={**os.environ, "BAROGRAPH_STORE": str(store), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@needs_mounts
def test_a_full_disk_ends_no_training_and_what_is_lost_is_counted(store: Path) -> None:
    """A disk of 1 MiB: the training ends normally, with one warning, and every record is written or counted."""
    store.mkdir()
    result = _train(
        """
        import barograph
        run = barograph.init(name="n", quiet=True)
        for step in range(60_000):
            run.log({"x": float(step), "y": 1.0}, step=step)
        assert run.health == "degraded"
        run.finish()
        view = barograph.open().run("n")
        kept = len(view.metric("x").steps)
        print(kept, run.lost["points"] // 2)
        """,
        store,
        wrap=f"mount -t tmpfs -o size=1m none {store}",
        BAROGRAPH_BUFFER_LIMIT_BYTES="500000",
        BAROGRAPH_SYSTEM_EVERY_S="0",
        BAROGRAPH_CAPTURE="0",
    )
    assert result.returncode == 0, result.stderr
    kept, lost = map(int, result.stdout.split())
    assert kept > 5_000
    assert kept + lost == 60_000
    assert result.stderr.count("BarographWarning") == 1
    assert str(store) in result.stderr


@needs_mounts
def test_a_disk_that_has_room_again_gets_everything(store: Path) -> None:
    """What waited in memory is written when space returns; nothing is lost."""
    store.mkdir()
    result = _train(
        """
        import os, time, barograph
        filler = os.path.join(os.environ["BAROGRAPH_STORE"], "filler")
        run = barograph.init(name="n", quiet=True)
        with open(filler, "wb") as stream:
            try:
                stream.write(b"x" * 2_000_000)
            except OSError:
                pass
        for step in range(1_000):
            run.log({"x": float(step)}, step=step)
        assert run.health == "degraded"
        os.unlink(filler)
        deadline = time.monotonic() + 20
        while run.health != "ok" and time.monotonic() < deadline:
            time.sleep(0.02)
        run.finish()
        view = barograph.open().run("n")
        assert view.metric("x").values.tolist() == [float(step) for step in range(1_000)]
        assert view.status == "finished"
        """,
        store,
        wrap=f"mount -t tmpfs -o size=1m none {store}",
    )
    assert result.returncode == 0, result.stderr


@needs_mounts
def test_a_read_only_file_system_is_replaced_by_a_folder_that_the_warning_names(store: Path) -> None:
    """init() on a read-only store: the run is kept elsewhere and the training does not notice."""
    store.mkdir()
    result = _train(
        "import barograph\nwith barograph.init(quiet=True) as run:\n    run.log({'x': 1.0})\nprint(run.store_path)",
        store,
        wrap=f"mount -t tmpfs -o ro none {store}",
        TMPDIR=str(store.parent),
    )
    assert result.returncode == 0, result.stderr
    elsewhere = result.stdout.strip()
    assert elsewhere in result.stderr
    assert barograph.open(elsewhere).runs()[0].metric("x").values.tolist() == [1.0]


def test_no_more_threads_is_no_error(store: Path) -> None:
    """Where no thread can start (RLIMIT_NPROC), the run works without one."""
    body = """
        import threading, barograph
        def refuse(self): raise RuntimeError("can't start new thread")
        threading.Thread.start = refuse
        with barograph.init(name="n", quiet=True) as run:
            for step in range(100):
                run.log({"x": float(step)}, step=step)
    """
    result = _train(body, store)
    assert result.returncode == 0, result.stderr
    assert len(barograph.open().run("n").metric("x").steps) == 100


def test_no_more_file_descriptors_at_init_is_no_error(store: Path) -> None:
    """EMFILE at init(): one warning, and the training goes on."""
    body = """
        import os, resource, barograph
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        held = []
        try:
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        run = barograph.init(name="n", quiet=True)
        run.log({"x": 1.0})
        for one in held:
            os.close(one)
        run.log({"x": 2.0})
        run.finish()
        print("trained")
    """
    result = _train(body, store)
    assert (result.returncode, result.stdout.strip()) == (0, "trained"), result.stderr


def test_handlers_of_the_user_are_never_touched(store: Path) -> None:
    """Handlers installed before or after init() stay, and run once."""
    body = """
        import os, signal, barograph
        calls = []
        signal.signal(signal.SIGUSR1, lambda *_: calls.append(1))
        run = barograph.init(quiet=True)
        handler = lambda *_: calls.append(2)
        signal.signal(signal.SIGTERM, handler)
        os.kill(os.getpid(), signal.SIGUSR1); os.kill(os.getpid(), signal.SIGTERM)
        run.log({"x": 1.0}); run.finish()
        assert signal.getsignal(signal.SIGTERM) is handler
        print(calls)
    """
    assert _train(body, store).stdout.strip() == "[1, 2]"


def test_ctrl_c_reaches_the_training_and_the_run_is_interrupted(store: Path) -> None:
    """SIGINT: KeyboardInterrupt in the user's code, the exit status as without us."""
    body = """
        import os, signal, barograph
        run = barograph.init(name="n", quiet=True)
        run.log({"x": 1.0}, step=1)
        os.kill(os.getpid(), signal.SIGINT)
        while True:
            pass
    """
    result = _train(body, store)
    assert result.returncode in (-signal.SIGINT, 130)
    assert "KeyboardInterrupt" in result.stderr
    assert barograph.open().run("n").status == "interrupted"


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_children_that_import_the_script_make_no_run(store: Path, method: str) -> None:
    """spawn and forkserver import the main module again: no run is made by that."""
    body = f"""
        import multiprocessing, barograph

        def work(number):
            return number + 1

        if __name__ == "__main__":
            run = barograph.init(name="n", quiet=True)
            with multiprocessing.get_context("{method}").Pool(2) as pool:
                assert pool.map(work, [1, 2]) == [2, 3]
            run.finish()
    """
    result = _train(body, store)
    assert result.returncode == 0, result.stderr
    assert len(barograph.open().runs()) == 1


def test_data_loader_workers_make_no_run_and_do_not_hang(store: Path) -> None:
    """Forked workers of a DataLoader inherit the run and leave it alone."""
    pytest.importorskip("torch")
    body = """
        import torch, barograph
        data = torch.utils.data.TensorDataset(torch.arange(64.0))
        loader = torch.utils.data.DataLoader(data, batch_size=8, num_workers=2, persistent_workers=True)
        with barograph.init(name="n", quiet=True) as run:
            step = 0
            for epoch in range(5):
                for (batch,) in loader:
                    run.log({"x": batch.sum()}, step=step)
                    step += 1
    """
    result = _train(body, store)
    assert result.returncode == 0, result.stderr
    (view,) = barograph.open().runs()
    assert len(view.metric("x").steps) == 40
    assert len(list(view.path.glob("journals/*"))) == 1


def test_a_daemon_thread_that_logs_until_the_end_crashes_nothing(store: Path) -> None:
    """Logging while the interpreter shuts down: no fatal error, no hang."""
    body = """
        import threading, barograph
        run = barograph.init(quiet=True)
        def work():
            while True:
                run.log({"x": 1.0})
        threading.Thread(target=work, daemon=True).start()
    """
    result = _train(body, store, PYTHONWARNINGS="ignore")
    assert result.returncode == 0
    assert "Fatal" not in result.stderr


def test_a_million_calls_do_not_grow_the_memory(store: Path) -> None:
    """1e6 scalars: at most 15 MB more than before."""
    body = """
        import barograph, psutil
        run = barograph.init(name="n", quiet=True)
        names = [f"m{i}" for i in range(10)]
        for step in range(1_000):
            run.log(dict.fromkeys(names, 1.0), step=step)
        before = psutil.Process().memory_info().rss
        for step in range(100_000):
            run.log(dict.fromkeys(names, 1.0), step=step)
        print((psutil.Process().memory_info().rss - before) / 1e6)
        run.finish()
    """
    result = _train(body, store)
    assert float(result.stdout) < 15, result.stderr


def test_no_network_is_used(store: Path) -> None:
    """A run never opens a socket."""
    body = """
        import socket
        def refuse(*args, **kwargs): raise AssertionError("network")
        socket.socket.connect = refuse; socket.getaddrinfo = refuse; socket.gethostbyname = refuse
        import barograph
        with barograph.init(quiet=True) as run:
            run.log({"x": 1.0})
    """
    result = _train(body, store)
    assert result.returncode == 0, result.stderr
    assert "network" not in result.stderr


@pytest.mark.parametrize("flags", [["-O"], ["-I"], ["-X", "dev"]])
def test_interpreter_flags_change_nothing(store: Path, flags: list[str]) -> None:
    """-O, isolated mode and development mode work, without a ResourceWarning."""
    code = f"import barograph\nwith barograph.init(store={str(store)!r}, quiet=True) as run:\n    run.log({{'x': 1.0}})"
    result = subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
