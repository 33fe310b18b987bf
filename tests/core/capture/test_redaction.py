"""Secrets go, and only secrets."""

import json
import time
from typing import Any

import pytest

from barograph.capture.plain import to_plain
from barograph.capture.redaction import redact, redact_argv, redact_long, redact_text, redact_url

from .credentials import HEX, KEY_BODY, LETTERS, LOOK_ALIKES, SHAPES, URL_SAFE, made, visible


@pytest.mark.parametrize("name", SHAPES)
def test_the_shape_of_a_credential_is_hidden_wherever_it_stands(name: str) -> None:
    """In a text, as a value under any name, in a list, as a key, as an argument, inside JSON inside text."""
    around, secret = SHAPES[name]
    text = around.replace("{}", secret)
    assert redact({"note": [text]}) != {"note": [text]}
    nested = {"note": text, "list": [1, {"deep": text}], "in a text": f"before {text}\nafter"}
    for hidden in (
        json.dumps(redact(nested)),
        " ".join(redact_argv(["train.py", text, f"--note={text}", "--note", text])),
        redact_text(f"using {text}\nnext line"),
        redact_text(json.dumps({"note": text})),
    ):
        assert visible(secret) not in hidden
        assert "[redacted]" in hidden


@pytest.mark.parametrize("scheme", ["Basic", "Bearer", "token"])
def test_headers_of_requests_are_hidden(scheme: str) -> None:
    """A scheme and a secret, as configurations and command lines of clients hold them; the name of a method stays."""
    header = f"{scheme} {made(6)}A1{made(6)}"
    assert redact({"headers": {"Authorization": header}}) == {"headers": {"Authorization": "[redacted]"}}
    assert redact_argv(["curl", "-H", f"Authorization: {header}"])[2].endswith("[redacted]")
    assert redact({"auth": f"{scheme} authentication"}) == {"auth": f"{scheme} authentication"}


def test_a_token_behind_the_end_of_a_line_that_is_written_out_is_hidden() -> None:
    """As in the repr of a text, or in JSON inside JSON; in the middle of a word it stays."""
    token = "gh" + f"p_{made(36)}"
    for text in (repr(f"first\n{token}"), repr(f"a\t{token}"), json.dumps(json.dumps(f"x\r\n{token}"))):
        assert token[-12:] not in redact_text(text)
    assert redact_text(f"n{token}") == f"n{token}"


def test_what_surrounds_a_secret_stays() -> None:
    """The beginning says which kind it was; the rest of the text is as it was."""
    assert redact_text("token gh" + f"p_{made(36)}, step 3") == "token gh" + "p_[redacted], step 3"
    assert redact_text("see https://u:p@h.org/a?b=1 now") == "see https://[redacted]@h.org/a?b=1 now"
    assert redact({"lr": 0.1, "password": "x"}) == {"lr": 0.1, "password": "[redacted]"}


@pytest.mark.parametrize(
    "name",
    "password db_password dbPassword DB_PASSWORD PGPASSWORD user.password passwd passphrase secret client_secret "
    "clientSecret secrets password2".split(),
)
@pytest.mark.parametrize("value", ["x", "hunter2", "correct horse battery staple", "12345678"])
def test_under_the_name_of_a_password_every_text_goes(name: str, value: str) -> None:
    """However short and simple it is, and in lists too."""
    assert redact({name: value}) == {name: "[redacted]"}
    assert redact({name: [value]}) == {name: ["[redacted]"]}
    assert value not in redact_text(f"{name}={value!r}")


@pytest.mark.parametrize(
    "name",
    "token auth_token HF_TOKEN hfToken api_key apiKey API-KEY api.key apikey openai_key OPENAI_API_KEY access_key "
    "accessKey secret_access_key private_key credentials auth authorization wandb_key access_token_2 "
    "session.cookie".split(),
)
def test_under_the_name_of_a_token_what_looks_random_goes(name: str) -> None:
    """Sixteen characters or more without the look of words; a word, a number, a path or a model's name stays."""
    for secret in (made(16, HEX) + "a1", made(24), made(32, HEX), made(40, LETTERS + "+/"), made(32, URL_SAFE)):
        assert redact({name: secret}) == {name: "[redacted]"}
    for other in (
        "none",
        "from-environment-variable",
        "<|begin_of_text|>",
        "short1",
        "${oc.env:HF_TOKEN}",
        128,
        0.5,
        True,
    ):
        assert redact({name: other}) == {name: other}


def test_under_a_group_of_secrets_only_secrets_go() -> None:
    """A mapping of credentials holds names of users and of methods beside them."""
    value = {"credentials": {"method": "basic", "user": "reader", "password": "x", "value": made(32, HEX)}}
    hidden = {"method": "basic", "user": "reader", "password": "[redacted]", "value": "[redacted]"}
    assert redact(value) == {"credentials": hidden}


@pytest.mark.parametrize(("name", "value"), LOOK_ALIKES)
def test_what_only_looks_like_a_secret_stays(name: str, value: Any) -> None:
    """Digests, identifiers, models, paths, texts about secrets, numbers: not a character is changed."""
    assert redact({name: value}) == {name: value}
    assert redact({"group": [{name: value}]}) == {"group": [{name: value}]}
    if isinstance(value, str):
        assert redact_text(f"{name} {value}") == f"{name} {value}"


def test_there_are_enough_examples() -> None:
    """What the promise counts: forty shapes, a hundred look-alikes."""
    assert len(SHAPES) >= 40
    assert len(LOOK_ALIKES) >= 100


SECRET = made(32)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["--token", "abc"], ["--token", "[redacted]"]),
        (["--api-key=abc"], ["--api-key=[redacted]"]),
        (["--api_key", "abc"], ["--api_key", "[redacted]"]),
        (["--hf-token=abc"], ["--hf-token=[redacted]"]),
        (["--password", "it is long"], ["--password", "[redacted]"]),
        (["--password", "--verbose"], ["--password", "--verbose"]),
        (["--use-auth-token", "train.py", "--token", "-v"], ["--use-auth-token", "train.py", "--token", "-v"]),
        (["-p", SECRET], ["-p", "[redacted]"]),
        (["-p", "8080"], ["-p", "8080"]),
        (["-p", "data/mnist"], ["-p", "data/mnist"]),
        (["db.password=x", "+logger.api_key=y"], ["db.password=[redacted]", "+logger.api_key=[redacted]"]),
        (["API_KEY=abc", "python"], ["API_KEY=[redacted]", "python"]),
        (["--config", '{"password": "x"}'], ["--config", '{"password": "[redacted]"}']),
        (["--db", "mysql://u:p@h/x"], ["--db", "mysql://[redacted]@h/x"]),
        (["--token", "/run/secrets/token"], ["--token", "/run/secrets/token"]),
        (["--max-tokens", "100", "--key-dim=64"], ["--max-tokens", "100", "--key-dim=64"]),
        (["--pad-token", "<pad>", "--eos-token=</s>"], ["--pad-token", "<pad>", "--eos-token=</s>"]),
        (["--token-type", "bert", "--auth", "kerberos"], ["--token-type", "bert", "--auth", "kerberos"]),
        (["--lr", "-0.1", "train.py", ""], ["--lr", "-0.1", "train.py", ""]),
    ],
)
def test_command_lines(given: list[str], kept: list[str]) -> None:
    """An option's name decides about its value, joined or apart; a list in a configuration is treated the same."""
    assert redact_argv(given) == kept
    assert redact({"arguments": ["run", *given, "--x"]}) == {"arguments": ["run", *kept, "--x"]}


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://user:pass@github.com/o/r.git", "https://github.com/o/r.git"),
        ("https://gh" + "p_x@github.com/o/r.git", "https://github.com/o/r.git"),
        ("https://user@dev.azure.com/o/p/_git/r", "https://dev.azure.com/o/p/_git/r"),
        ("ssh://git:pass@host:22/o/r.git", "ssh://git@host:22/o/r.git"),
        ("git@github.com:o/r.git", "git@github.com:o/r.git"),
        ("https://h/r.git?private_token=" + SECRET, "https://h/r.git?private_token=[redacted]"),
        ("/srv/git/r.git", "/srv/git/r.git"),
        ("https://[::1/x", "https://[::1/x"),
    ],
)
def test_urls_lose_their_login(url: str, kept: str) -> None:
    """What is left is the address alone; the user of an ssh address belongs to it."""
    assert redact_url(url) == kept


@pytest.mark.parametrize("value", ["4troub(3", "a=b=c", "pa$$word", "MyPassword", "12345", "a", "x" * 500])
def test_a_password_in_a_text_may_be_anything(value: str) -> None:
    """Brackets, dollars, the word itself, digits, any length: it goes to its end."""
    assert redact_text(f"export PASSWORD={value}\nPATH=/bin") == "export PASSWORD=[redacted]\nPATH=/bin"
    assert redact_text(f"db:\n  password: {value}\n  user: ada") == "db:\n  password: [redacted]\n  user: ada"
    assert redact_text(f"Client(password={value!r}, user='ada')") == "Client(password='[redacted]', user='ada')"


@pytest.mark.parametrize(
    "code",
    [
        'os.environ["COMET_API_KEY"] = "{}"',
        "os.environ['HF_TOKEN']='{}'",
        'os.environ.setdefault("HF_TOKEN", "{}")',
        'parser.add_argument("--api-key", type=str, default="{}")',
        'api_key: str = "{}"',
        'api_key = os.environ.get("API_KEY") or "{}"',
        'api_key = (\n    "{}"\n)',
        'client.set_api_key("{}")',
        "ENV SERVICE_API_KEY {}",
        "tool login {}",
        'tool.login(key="{}")',
        '- name: SERVICE_API_KEY\n  value: "{}"',
        "api_key: |\n  {}\n",
        'password = """{}"""',
    ],
)
def test_code_that_holds_a_secret_itself(code: str) -> None:
    """However a program gives a credential its value, the value goes and the code stays."""
    assert redact_text(code.format(f"Q7{made(22)}")) == code.format("[redacted]")


@pytest.mark.parametrize(
    "code",
    [
        'api_key: null\ncommit: "d670460b4b4aece5915caf5c68d12f560a9fe3e4"',
        '{"api_key": null, "commit": "d670460b4b4aece5915caf5c68d12f560a9fe3e4"}',
        'password: str\nsha = "d670460b4b4aece5915caf5c68d12f560a9fe3e4"',
        "self.user, self.password = user, password",
        "userid = passwd = account = ''",
        "pwd = (self.password.encode('utf-8'), 1)",
        "connect(password=word, user=user)",
    ],
)
def test_code_that_only_names_a_secret(code: str) -> None:
    """What stands beside the name of a secret under a name of its own stays, and so does a variable."""
    assert redact_text(code) == code


def test_a_key_that_was_cut_short_is_hidden() -> None:
    """A text that ends inside a private key has no end marker."""
    text = "-----BEGIN PRIVATE" + " KEY-----\n" + KEY_BODY
    assert redact_text(text) == "-----BEGIN PRIVATE" + " KEY-----[redacted]"


def test_objects_of_every_kind_are_covered() -> None:
    """What to_plain() makes of an object's text goes through the same sieve."""

    class Client:
        def __repr__(self) -> str:
            return "Client(user='ada', password='hunter2', key=b'x')"

    hidden = json.dumps(redact(to_plain({"client": Client(), "password": b"hunter2"}).value))
    assert "hunter2" not in hidden
    assert b"hunter2".hex() not in hidden
    assert "ada" in hidden


def test_nothing_is_changed_in_place() -> None:
    """The configuration that a training uses keeps its secrets."""
    value = {"password": "x", "list": ["--token", "abc"]}
    redact(value)
    assert value == {"password": "x", "list": ["--token", "abc"]}


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000,
        "key=" * 50_000,
        "token=" * 33_000,
        "password=" * 22_000,
        'password="' * 20_000,
        "://a:b" * 30_000,
        "sk-" * 60_000,
        "eyJ" * 60_000,
        ("-----BEGIN PRIVATE" + " KEY-----") * 7_000,
        "token_" * 30_000,
        "Bearer " * 25_000,
        made(200_000, LETTERS + "+/"),
    ],
    ids=lambda text: text[:12],
)
def test_hostile_texts_take_linear_time(text: str) -> None:
    """200 kB that could send a careless expression into quadratic time."""
    start = time.process_time()
    redact_text(text)
    assert time.process_time() - start < 1.5


def test_the_marks_of_a_private_key_without_a_key_hide_nothing() -> None:
    """Programs that look for keys hold such lines; what follows is code, to the end of the text."""
    begin, end = "-----BEGIN RSA PRIVATE" + " KEY-----", "-----END RSA PRIVATE" + " KEY-----"
    code = f'+if "{begin}" in text:\n+    raise ValueError("Private-Lines: 1 {end}")\n+rate = 2\n'
    assert redact_text(code) == redact_long(code, lambda: None) == code
