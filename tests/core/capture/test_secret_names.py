"""What a name says, and what looks random."""

import random
import string

import pytest

from barograph.capture import secret_names
from barograph.capture.secret_names import Secrecy, is_credential, looks_random, secrecy_of

_random = random.Random(5)


@pytest.mark.parametrize(
    ("name", "secrecy"),
    [
        ("password", Secrecy.PASSWORD),
        ("userPassword1", Secrecy.PASSWORD),
        ("OAuthClientSecret", Secrecy.PASSWORD),
        ("password_file", Secrecy.TOKEN),
        ("secret_name", Secrecy.TOKEN),
        ("APIKey", Secrecy.TOKEN),
        ("HTTPAuthToken", Secrecy.TOKEN),
        ("api_keys", Secrecy.TOKEN),
        ("tokenizer", Secrecy.NONE),
        ("author", Secrecy.NONE),
        ("key", Secrecy.NONE),
        ("cache_key", Secrecy.NONE),
        ("monkey", Secrecy.NONE),
        ("secretary", Secrecy.NONE),
        ("", Secrecy.NONE),
        ("Schlüssel", Secrecy.NONE),
    ],
)
def test_names_are_judged_by_their_whole_words(name: str, secrecy: Secrecy) -> None:
    """Words end at underscores, hyphens, dots, digits and capitals."""
    assert secrecy_of(name) is secrecy


def test_a_token_of_a_vocabulary_is_no_credential() -> None:
    """On a command line --token is one, --pad-token is not."""
    assert all(map(is_credential, ["--token", "--hf-token", "api_key", "--db.password", "SECRET"]))
    assert not any(map(is_credential, ["--pad-token", "--max-tokens", "--token-type", "--auth", "--key", ""]))


@pytest.mark.parametrize(
    ("alphabet", "length", "missed"),
    [
        ("0123456789abcdef", 16, 0.03),
        ("0123456789abcdef", 32, 0.001),
        (string.ascii_lowercase + string.digits, 20, 0.01),
        (string.ascii_letters + string.digits, 20, 0.01),
        (string.ascii_letters + string.digits + "-_", 32, 0.02),
        (string.ascii_letters + string.digits + "+/", 40, 0.01),
        (string.ascii_uppercase + "234567", 20, 0.01),
    ],
)
def test_random_texts_look_random(alphabet: str, length: int, missed: float) -> None:
    """Of two thousand of each alphabet that tokens are made of, hardly one passes for words."""
    texts = ["".join(_random.choices(alphabet, k=length)) for _ in range(2000)]
    assert sum(not looks_random(text) for text in texts) <= 2000 * missed


def test_identifiers_do_not_look_random() -> None:
    """Of the names that the standard library and this project are made of, hardly one passes for a token."""
    names = {name for module in (string, random, pytest) for name in dir(module)}
    names |= {"DataLoaderWorkerInitFunction", "learning_rate_scheduler_step", "gradient_accumulation_steps"}
    names |= {"CosineAnnealingWarmRestarts", "num_attention_heads_per_partition", "val/mean_average_precision"}
    assert not [name for name in names if looks_random(name)]


def test_a_text_of_any_length_is_judged_quickly() -> None:
    """Nobody's token is a megabyte long."""
    assert not looks_random("x9" * 1_000_000)
    assert not looks_random("")


def test_every_name_of_a_secret_has_a_stem() -> None:
    """Only lines with one of the stems are looked at more closely."""
    words = (
        secret_names._PASSWORDS | secret_names._TOKENS | secret_names._CREDENTIALS | {"key", "keys", "sig", "signature"}
    )
    assert not [word for word in words if not any(stem in word for stem in secret_names.STEMS)]
