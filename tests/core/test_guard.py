"""An error of ours is one warning and a count, and never reaches a training."""

import subprocess
import sys

import pytest

import barograph
from barograph import BarographWarning, testing
from barograph.guard import guarded
from barograph.run import Run


class Callback:
    """Something a framework would call."""

    def __init__(self, run: Run | None) -> None:
        self.run = run

    @guarded
    def on_step(self, error: BaseException | None = None) -> int:
        """Fail as told."""
        if error is not None:
            raise error
        return 3

    @guarded
    def on_log(self) -> None:
        """Spend the time in log()."""
        assert self.run is not None
        for _ in range(1000):
            self.run.log({"x": 1.0})


@pytest.mark.expects_guard
def test_the_first_error_of_a_kind_is_one_warning_and_all_are_counted() -> None:
    """The same error again is silent; another class warns again; the run has the counts."""
    with testing.temporary_run() as temporary:
        callback = Callback(temporary.run)
        with pytest.warns(BarographWarning) as caught:
            for error in (ValueError("a"), ValueError("b"), KeyError("c")):
                assert callback.on_step(error) is None
        assert len(caught) == 2
        assert temporary.run.name in str(caught[0].message)
        assert "on_step" in str(caught[0].message)
        assert temporary.run.count_failure("on_step", ValueError()) is False


def test_what_is_returned_passes() -> None:
    """Without an error the guard is not noticed."""
    assert Callback(None).on_step() == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_the_users_interruptions_pass(error: BaseException) -> None:
    """Ctrl-C and exit are nobody's error."""
    with pytest.raises(type(error)):
        Callback(None).on_step(error)


def test_in_tests_it_raises() -> None:
    """barograph.testing.strict() lets errors of ours out."""
    with pytest.raises(ValueError, match="a"):
        Callback(None).on_step(ValueError("a"))


def test_the_cost_is_counted_once() -> None:
    """What log() takes inside a hook counts as log, not twice."""
    with testing.temporary_run() as temporary:
        Callback(temporary.run).on_log()
        overhead = temporary.run.overhead
    assert overhead["hooks"]["on_log"] < overhead["hooks"]["log"] + 0.05
    assert overhead["total_s"] == pytest.approx(sum(overhead["hooks"].values()))


def test_where_warnings_are_errors_the_line_goes_to_stderr() -> None:
    """python -W error: the training still goes on."""
    code = (
        "import barograph\n"
        "with barograph.init(quiet=True) as run:\n"
        "    run.log({'x': None})\n"
        "    run.log({'y': 1.0})\n"
        "print('went on')"
    )
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "went on"
    assert "kept as text" in result.stderr
    assert "y" in barograph.open().runs()[0].metrics()


def test_a_run_that_is_joined_owes_nothing_for_what_it_did_before() -> None:
    """The hook that joins an open run is counted in full, however much that run has logged already."""

    class Joining:
        run: Run | None = None

        @guarded
        def on_join(self, run: Run) -> None:
            self.run = run
            while run.open_for_s < 2 * opened_s:
                pass

    with testing.temporary_run() as temporary:
        for step in range(3000):
            temporary.run.log({"x": 1.0}, step)
        opened_s = temporary.run.open_for_s
        Joining().on_join(temporary.run)
        assert temporary.run.overhead["hooks"]["on_join"] > opened_s / 2
