"""What is printed while a run is open is kept, and the streams stay what they are."""

import contextlib
import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import barograph
from barograph.capture import console
from barograph.reading import RunView

KEY = "gh" + "p_" + "a1B2" * 9


def run_script(body: str, *, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
    """A script with an open run called `run`."""
    text = f"import os, sys, time, threading\nimport barograph\nrun = barograph.init(quiet=True)\n{body}"
    command = [sys.executable, "-c", text]
    return subprocess.run(
        command,
        env=os.environ | {"BAROGRAPH_CAPTURE_CODE": "0"} | variables,
        capture_output=True,
        text=True,
        check=check,
    )


def only_run(store: Path) -> RunView:
    (view,) = barograph.open(store).runs()
    return view


def printed(view: RunView, stream: str | None = None) -> list[str]:
    return [line.text for line in view.console() if stream in (None, line.stream)]


def test_both_streams_are_kept_with_their_times(store: Path) -> None:
    """And go where they went before."""
    done = run_script("print('out')\nprint('err', file=sys.stderr)\nprint('no end', end='')\n")
    assert (done.stdout, done.stderr) == ("out\nno end", "err\n")
    view = only_run(store)
    assert printed(view, "stdout") == ["out", "no end"]
    assert printed(view, "stderr") == ["err"]
    assert all(view.created - 1 <= line.time_s <= view.created + 60 for line in view.console())


def test_a_kill_loses_a_moment_at_most(store: Path) -> None:
    """What was printed is written down while the run goes on."""
    body = (
        "import signal\nprint('before')\nview = barograph.open().run(run.id)\n"
        "while not view.console(): time.sleep(0.01)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run_script(body, check=False)
    assert (only_run(store).status, printed(only_run(store))) == ("killed", ["before"])


def test_progress_bars_are_one_line() -> None:
    """Of tqdm, also inside each other, beside other output."""
    pytest.importorskip("tqdm")
    body = (
        "from tqdm import tqdm\n"
        "for i in tqdm(range(20), desc='outer', mininterval=0):\n"
        "    for j in tqdm(range(5), desc='inner', leave=False, mininterval=0): pass\n"
        "    if i == 3: print('between')\n"
    )
    run_script(body)
    view = barograph.open().runs()[0]
    assert printed(view, "stdout") == ["between"]
    (bar,) = (text for text in printed(view, "stderr") if text.startswith("outer"))
    assert "20/20" in bar
    assert not [text for text in printed(view, "stderr") if text.startswith("inner")]


def test_secrets_do_not_reach_the_disk(store: Path) -> None:
    """In one write or in several, in a line or over many, in a progress bar."""
    begin, end = ("-----" + word + " PRIVATE KEY-----" for word in ("BEGIN", "END"))
    body = (
        f"print('token', {KEY!r})\nprint({KEY[:10]!r}, end='')\nprint({KEY[10:]!r})\nprint('password=hunter2')\n"
        f"print({begin!r}); print('MIIEow1bAaKCAQEA75'); print({end!r})\n"
        f"sys.stderr.write('\\r{KEY} 10%'); sys.stderr.write('\\r{KEY} 100%\\n')\n"
    )
    run_script(body)
    text = "\n".join(printed(only_run(store)))
    everything = b"".join(path.read_bytes() for path in store.rglob("*") if path.is_file())
    for secret in (KEY, "hunter2", "MIIEow1bAaKCAQEA75"):
        assert secret not in text
        assert secret.encode() not in everything
    assert "100%" in text


def test_at_most_so_much_is_kept_and_its_end(store: Path) -> None:
    """The beginning up to the limit, how much is missing, and the last lines."""
    run_script("for i in range(20000): print('line', i)\n", BAROGRAPH_CONSOLE_LIMIT_BYTES="50000")
    lines = printed(only_run(store))
    assert lines[0] == "line 0"
    assert lines[-1] == "line 19999"
    assert len([line for line in lines if "lines left out" in line]) == 1
    assert len(lines) < 2000
    assert sum(path.stat().st_size for path in store.rglob("*.journal")) < 200_000


def test_the_streams_stay_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """The same objects with everything they can do; afterwards nothing of ours is left."""
    out, err, own = sys.stdout, sys.stderr, dict(vars(sys.stdout))
    with barograph.init(quiet=True):
        assert (sys.stdout, sys.stderr) == (out, err)
        assert sys.stdout.encoding
        assert sys.stdout.isatty() is False
        assert sys.stdout.write("four") == 4
        sys.stdout.writelines(["a", "b\n"])
        sys.stdout.flush()
        assert sys.stdout.write.__name__ == "write"
    assert vars(sys.stdout) == own
    assert capsys.readouterr().out == "fourab\n"


def test_an_error_of_the_stream_is_the_programs(store: Path) -> None:
    """A wrong type, a closed stream: as without us, and nothing is kept."""
    body = (
        "try: sys.stdout.write(5)\nexcept TypeError as error: print(error)\n"
        "sys.stderr.close()\n"
        "try: sys.stderr.write('x')\nexcept ValueError as error: print(error)\n"
    )
    done = run_script(body)
    assert done.stdout.splitlines() == [
        "write() argument must be str, not int",
        "I/O operation on closed file.",
    ]
    assert printed(only_run(store)) == done.stdout.splitlines()


@pytest.mark.parametrize(
    "streams",
    [
        "sys.stdout = sys.stderr = None",
        "sys.stdout.close()",
        "sys.stderr = sys.stdout",
        "sys.stdout = type('S', (), {'__slots__': (), 'write': lambda s, t: None, 'flush': lambda s: None})()",
    ],
)
def test_streams_of_any_kind_are_no_error(store: Path, streams: str) -> None:
    """None, closed, something else, twice the same: the run goes on."""
    text = (
        f"import sys, barograph\nout = sys.stdout\n{streams}\nrun = barograph.init(quiet=True)\nrun.log({{'a': 1.0}})\n"
    )
    text += "print('once', file=sys.stderr) if sys.stderr is not None else None\nrun.finish()\n"
    subprocess.run([sys.executable, "-c", text], check=True, capture_output=True)
    assert only_run(store).status == "finished"
    assert printed(only_run(store)).count("once") <= 1


def test_what_is_redirected_is_not_on_the_console(store: Path) -> None:
    """redirect_stdout takes it away; a stream of one's own gets all of its text."""
    with barograph.init(quiet=True):
        with contextlib.redirect_stdout(io.StringIO()) as own:
            print("redirected")
        print("shown")
    assert own.getvalue() == "redirected\n"
    assert printed(only_run(store)) == ["shown"]


def test_somebody_who_listens_over_us_is_left_in_place(store: Path) -> None:
    """We take ourselves out only if nobody stands over us; nothing is kept or lost by staying."""
    body = (
        "below = sys.stdout.write\nheard = []\n"
        "def over(text):\n    heard.append(text)\n    return below(text)\n"
        "sys.stdout.write = over\nprint('one')\nrun.finish()\nassert sys.stdout.write is over\nprint('two')\n"
        "run = barograph.init(quiet=True)\nprint('three')\nrun.finish()\nassert sys.stdout.write is over\n"
        "assert heard == ['one', '\\n', 'two', '\\n', 'three', '\\n'], heard\n"
    )
    assert run_script(body).stdout == "one\ntwo\nthree\n"
    assert [printed(view) for view in reversed(barograph.open(store).runs())] == [["one"], ["three"]]


def test_two_runs_hear_the_same_and_a_part_of_a_run_nothing(store: Path) -> None:
    """What belongs together is kept once, by the outermost run; independent runs each have it."""
    with barograph.init(quiet=True, name="one") as one, barograph.init(quiet=True, name="two"):
        print("both")
        with barograph.init(quiet=True, name="part", parent=one):
            print("inside")
    views = {view.name: printed(view) for view in barograph.open(store).runs()}
    assert views == {"one": ["both", "inside"], "two": ["both", "inside"], "part": []}


def test_threads_may_print_at_once(store: Path) -> None:
    """No line of theirs is lost."""
    with barograph.init(quiet=True):
        threads = [threading.Thread(target=lambda: [sys.stdout.write(f"{i}\n") for i in range(500)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(printed(only_run(store))) == sorted([str(i) for i in range(500)] * 4)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_of_a_fork_prints_unheard(store: Path) -> None:
    """It has no thread of ours and no lock to wait for; a run of its own hears it."""
    body = (
        "pid = os.fork()\n"
        "if not pid:\n"
        "    print('child', flush=True)\n"
        "    with barograph.init(quiet=True, name='child'): print('heard', flush=True)\n"
        "    os._exit(0)\n"
        "os.waitpid(pid, 0)\nprint('parent')\n"
    )
    run_script(body)
    views = {view.name == "child": printed(view) for view in barograph.open(store).runs()}
    assert views == {True: ["heard"], False: ["parent"]}


def test_ranks_but_the_first_are_not_heard(store: Path) -> None:
    """All of them print the same."""
    run_script("print('hello')", RANK="1", WORLD_SIZE="2", TORCHELASTIC_RUN_ID="x")
    assert printed(only_run(store)) == []


def test_a_second_fit_is_heard_as_well(store: Path) -> None:
    """A run that goes on after its end takes up listening, in a numbering of its own."""
    run_script("print('one')\nrun.finish()\nprint('between')\nrun.reopen()\nprint('two')\n")
    assert printed(only_run(store)) == ["one", "two"]


def test_odd_texts_are_kept(store: Path) -> None:
    """Lone surrogates, zero bytes, any language."""
    with barograph.init(quiet=True):
        sys.stdout.write("\u4e2d\u6587 \U0001f600\n")
        sys.stdout.write("zero \0 byte\n")
        console._listener._printed.append(("stdout", 1.0, "\ud800\n"))
    assert sorted(printed(only_run(store))) == sorted(["\ud800", "\u4e2d\u6587 \U0001f600", "zero \0 byte"])
