"""Two moments with one digest draw the same numbers; looking changes nothing."""

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import barograph
from barograph.attachment import Attachment
from barograph.capture.seeds import digest_of, take_seeds

torch = pytest.importorskip("torch")
GENERATORS: dict[str, Callable[[int], Any]] = {
    "random.Random": random.Random,
    "numpy.Generator": np.random.default_rng,
    "numpy.RandomState": np.random.RandomState,
    "numpy.PCG64": np.random.PCG64,
    "numpy.MT19937": lambda seed: np.random.Generator(np.random.MT19937(seed)),
    "numpy.SeedSequence": np.random.SeedSequence,
    "torch.Generator": lambda seed: torch.Generator().manual_seed(seed),
    "an integer": int,
    "a text": str,
    "an array": lambda seed: np.array([0, seed], np.uint32),
}


def in_python(text: str, **variables: str) -> str:
    """What a program prints."""
    command = [sys.executable, "-c", text]
    return subprocess.run(
        command, env=os.environ | variables, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_is_known_by_its_state(name: str) -> None:
    """Equal seeds have equal digests, others have not."""
    make = GENERATORS[name]
    first, same, other = (take_seeds({"g": make(seed)})["states"]["g"] for seed in (3, 3, 4))
    assert first == same
    assert first != other


def test_a_draw_changes_the_state() -> None:
    """Of the global generators as well as of one that was handed over."""
    generator = np.random.default_rng(0)
    before = take_seeds({"mine": generator})["states"]
    generator.random()
    random.random()
    np.random.rand()
    torch.rand(1)
    after = take_seeds({"mine": generator})["states"]
    assert {name for name in before if before[name] != after[name]} >= {"mine", "random", "numpy", "torch"}


def test_the_global_generators_are_known_by_their_seeds() -> None:
    """Seeded alike they are alike."""
    found = []
    for seed in (1, 1, 2):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        found.append(take_seeds({})["states"])
    assert found[0] == found[1]
    assert all(found[0][name] != found[2][name] for name in ("random", "numpy", "torch"))


def test_a_generator_that_a_script_has_a_name_for_is_found() -> None:
    """Of Python, numpy and torch; what is no generator is not asked for a state."""
    code = """if True:
        import random, numpy as np, torch
        from barograph.capture.seeds import take_seeds
        mine, rng, loader, other = random.Random(1), np.random.default_rng(2), torch.Generator(), np.arange(3)
        print(sorted(name for name in take_seeds({})["states"] if name.startswith("__main__")))
    """
    assert in_python(code) == "['__main__.loader', '__main__.mine', '__main__.rng']"


def test_a_digest_is_the_same_in_every_process() -> None:
    """Whatever the hashes of texts are there."""
    text = "import random; from barograph.capture.seeds import digest_of; print(digest_of(random.Random(5).getstate()))"
    told = {in_python(text, PYTHONHASHSEED=seed) for seed in ("1", "2")}
    assert told == {digest_of(random.Random(5).getstate())}


def test_looking_changes_nothing() -> None:
    """No draw, no new generator, nothing imported."""
    random.seed(7)
    np.random.seed(7)
    torch.manual_seed(7)
    expected = random.random(), np.random.rand(), float(torch.rand(1))
    random.seed(7)
    np.random.seed(7)
    torch.manual_seed(7)
    before = set(sys.modules)
    take_seeds({})
    assert (random.random(), np.random.rand(), float(torch.rand(1))) == expected
    assert set(sys.modules) == before
    alone = "import sys; from barograph.capture.seeds import take_seeds; take_seeds({}); "
    assert in_python(alone + "print({'torch', 'numpy', 'jax'} & set(sys.modules))") == "set()"


def test_seeds_that_were_set_are_told_as_far_as_they_can_be_known() -> None:
    """torch tells a seed of a person from one of its own; Lightning leaves a variable."""
    text = (
        "import torch\nfrom barograph.capture.seeds import take_seeds\n"
        "print(take_seeds({})['seeded'])\ntorch.manual_seed(9)\nprint(take_seeds({})['seeded'])"
    )
    told = in_python(text, PL_GLOBAL_SEED="9").splitlines()
    assert told == ["{'PL_GLOBAL_SEED': '9'}", "{'PL_GLOBAL_SEED': '9', 'torch': 9}"]


def test_switches_and_threads_are_told() -> None:
    """What decides whether equal states give equal results."""
    text = (
        "import torch; from barograph.capture.seeds import take_seeds; torch.set_num_threads(3)\n"
        "torch.use_deterministic_algorithms(True); torch.backends.cudnn.benchmark = True\n"
        "torch.set_float32_matmul_precision('high'); t = take_seeds({})\n"
        "print(t['threads']['torch'], t['threads']['OMP_NUM_THREADS'])\n"
        "names = ['torch.deterministic_algorithms', 'torch.cudnn.benchmark', 'torch.float32_matmul_precision']\n"
        "print(*(t['switches'][name] for name in [*names, 'PYTHONHASHSEED', 'hash_randomization']))"
    )
    assert in_python(text, OMP_NUM_THREADS="4", PYTHONHASHSEED="0") == "3 4\nTrue True high 0 False"


def test_keras_tensorflow_and_jax_are_known_where_they_are_loaded() -> None:
    """Their seeds, generators and keys; a generator that nobody has made is not made."""
    pytest.importorskip("keras")
    text = (
        "import keras, jax, tensorflow as tf\n"
        "from barograph.capture.seeds import take_seeds\n"
        "from tensorflow.python.ops import stateful_random_ops\n"
        "keras.utils.set_random_seed(5)\n"
        "def look(seed): return take_seeds({'key': jax.random.key(seed), 'raw': jax.random.PRNGKey(seed),\n"
        "    'keras seeds': keras.random.SeedGenerator(seed), 'tf': tf.random.Generator.from_seed(seed)})\n"
        "a, b, c = look(1), look(1), look(2)\n"
        "print(a['states'] == b['states'], [n for n in a['states'] if a['states'][n] != c['states'][n]])\n"
        "print(a['seeded'], a['states']['key'] == a['states']['raw'], 'tensorflow' in a['states'])\n"
        "print(stateful_random_ops.global_generator, a['switches']['tensorflow.op_determinism'])\n"
    )
    told = in_python(text, KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="3").splitlines()
    assert told == [
        "True ['key', 'raw', 'keras seeds', 'tf']",
        "{'tensorflow': 5, 'keras': 5} True True",
        "None False",
    ]


def test_what_is_no_generator_is_left_out() -> None:
    """An object without a state, one that raises, none at all."""

    class Broken:
        def get_state(self) -> None:
            raise RuntimeError("broken")

    states = take_seeds({"object": object(), "broken": Broken(), "none": None, "function": len})["states"]
    assert not {"object", "broken", "none", "function"} & set(states)


def test_a_run_tells_them_at_its_beginning_at_each_fit_and_at_its_end(store: Path) -> None:
    """And whenever it is asked to."""
    run = barograph.init(quiet=True)
    attachment = Attachment(run)
    attachment.begin()
    attachment.start_fit()
    run.log_seeds("epoch", {"shuffle": np.random.default_rng(1)})
    attachment.end()
    run.finish()
    seeds = barograph.open(store).runs()[0].seeds()
    assert [one.at for one in seeds] == ["init", "fit_start", "epoch", "end"]
    assert set(seeds[2].states) - set(seeds[1].states) == {"shuffle"}
    assert seeds[0].switches["hash_randomization"] in (True, False)


def test_it_can_be_switched_off(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a part of what is captured."""
    monkeypatch.setenv("BAROGRAPH_CAPTURE_SEEDS", "0")
    with barograph.init(quiet=True):
        pass
    assert barograph.open(store).runs()[0].seeds() == []
