"""Secrets go, and only secrets. No credential here is real: each is a beginning and random letters, put together."""

import json
import random
import string
import time
from typing import Any

import pytest

from barograph.capture.plain import to_plain
from barograph.capture.redaction import redact, redact_argv, redact_text, redact_url

_random = random.Random(20)
LETTERS = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
UPPER = string.ascii_uppercase + "234567"
URL_SAFE = LETTERS + "-_"


def made(length: int, alphabet: str = LETTERS) -> str:
    return "".join(_random.choices(alphabet, k=length))


# name -> (text around the secret, with the secret in the place of {}; the secret)
SHAPES: dict[str, tuple[str, str]] = {
    name: (beginning + "{}", secret)
    for name, beginning, secret in [
        ("aws key id", "AKIA", made(16, UPPER)),
        ("aws session key id", "ASIA", made(16, UPPER)),
        ("github classic", "gh" + "p_", made(36)),
        ("github oauth", "gh" + "o_", made(36)),
        ("github app", "gh" + "s_", made(36)),
        ("github refresh", "gh" + "r_", made(76)),
        ("github fine-grained", "github" + "_pat_", made(22) + "_" + made(59)),
        ("gitlab", "gl" + "pat-", made(20, URL_SAFE)),
        ("slack bot", "xox" + "b-", f"{made(12, string.digits)}-{made(12, string.digits)}-{made(24)}"),
        ("slack user", "xox" + "p-", f"{made(12, string.digits)}-{made(32, HEX)}"),
        ("slack app", "xapp" + "-", f"1-{made(10, UPPER)}-{made(13, string.digits)}-{made(64, HEX)}"),
        ("slack webhook", "https://hooks.slack.com/serv" + "ices/", f"T{made(8, UPPER)}/B{made(8, UPPER)}/{made(24)}"),
        (
            "discord webhook",
            "https://discord.com/api/web" + "hooks/",
            f"{made(18, string.digits)}/{made(68, URL_SAFE)}",
        ),
        ("discord bot", "", f"M{made(23)}.{made(6)}.{made(27, URL_SAFE)}"),
        ("telegram", "https://api.telegram.org/bo" + "t", f"{made(10, string.digits)}:AA{made(33, URL_SAFE)}"),
        ("telegram alone", made(10, string.digits) + ":AA", made(33, LETTERS)),
        ("openai", "sk" + "-", made(48)),
        ("openai project", "sk" + "-proj-", made(74, URL_SAFE)),
        ("anthropic", "sk" + "-ant-", "api03-" + made(93, URL_SAFE)),
        ("openrouter", "sk" + "-or-", "v1-" + made(64, HEX)),
        ("hugging face", "hf" + "_", made(34, string.ascii_letters)),
        ("wandb", "wandb" + "_v1_", made(77)),
        ("google api", "AI" + "za", made(35, URL_SAFE)),
        ("google oauth", "ya2" + "9.", made(68, URL_SAFE)),
        ("google client", "GOC" + "SPX-", made(28, URL_SAFE)),
        ("json web token", "ey" + "J", f"{made(33)}.ey{made(60)}.{made(43, URL_SAFE)}"),
        ("stripe", "sk" + "_live_", made(24)),
        ("stripe restricted", "rk" + "_test_", made(24)),
        ("stripe webhook", "wh" + "sec_", made(32)),
        ("npm", "np" + "m_", made(36)),
        ("pypi", "py" + "pi-", "AgEIcHlwaS5vcmc" + made(140, URL_SAFE)),
        ("rubygems", "ruby" + "gems_", made(48, HEX)),
        ("sendgrid", "S" + "G.", f"{made(22, URL_SAFE)}.{made(43, URL_SAFE)}"),
        ("twilio", "S" + "K", made(32, HEX)),
        ("mailgun", "ke" + "y-", made(32, HEX)),
        ("mailchimp", "", made(32, HEX) + "-us12"),
        ("databricks", "da" + "pi", made(32, HEX)),
        ("digitalocean", "dop" + "_v1_", made(64, HEX)),
        ("docker", "dckr" + "_pat_", made(27, URL_SAFE)),
        ("vault", "hv" + "s.", made(24)),
        ("shopify", "shp" + "at_", made(32, HEX)),
        ("square", "sq0" + "csp-", made(43, URL_SAFE)),
        ("linear", "lin" + "_api_", made(40)),
        ("notion", "nt" + "n_", made(46)),
        ("figma", "fig" + "d_", made(40, URL_SAFE)),
        ("replicate", "r" + "8_", made(37)),
        ("groq", "gs" + "k_", made(52)),
        ("nvidia", "nv" + "api-", made(64, URL_SAFE)),
        ("langsmith", "lsv2" + "_pt_", f"{made(32, HEX)}_{made(10, HEX)}"),
        ("pinecone", "pc" + "sk_", made(70)),
        ("grafana", "gl" + "sa_", f"{made(32)}_{made(8, HEX)}"),
        ("new relic", "NR" + "AK-", made(27, UPPER)),
        ("supabase", "sb" + "p_", made(40, HEX)),
        ("tailscale", "ts" + "key-", f"auth-{made(12)}-{made(32)}"),
        ("azure client", "abc8" + "Q~", made(34, URL_SAFE)),
        ("bearer", "Bearer ", made(40, URL_SAFE)),
        ("authorization", "Authorization: Basic ", made(24)),
        ("url login", "https://user:", "p4ss" + "@example.com/x"),
        ("database url", "postgresql://app:", made(12) + "@db.internal:5432/runs"),
        ("redis url", "redis://:", made(12) + "@cache:6379/0"),
        ("token as user", "https://", made(40) + "@github.com/o/r.git"),
        ("signed url", "https://a.blob.core.windows.net/b?sv=2024&se=x&sig=", made(44) + "%3D"),
        ("azure storage", "AccountName=x;Account" + "Key=", made(86, LETTERS + "+/") + "=="),
        ("wandb key", "wandb_api_key=", made(40, HEX)),
        ("aws secret", "aws_secret_access_key = ", made(40, LETTERS + "+/")),
        ("password", "password=", "hunter2"),
    ]
}
KEY_BODY = "\n".join(made(64, LETTERS + "+/") for _ in range(5))
for _kind in ("RSA ", "EC ", "OPENSSH ", ""):
    _around = f"-----BEGIN {_kind}PRIVATE" + " KEY-----\n{}\n" + f"-----END {_kind}PRIVATE" + " KEY-----"
    SHAPES[f"{_kind}private key"] = (_around, KEY_BODY)


def visible(secret: str) -> str:
    """So much of a secret that finding it means that it was not hidden."""
    return secret.split("@")[0][-12:]


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


LOOK_ALIKES: list[tuple[str, Any]] = [
    # numbers and flags under names with the words of secrets
    ("max_tokens", 4096),
    ("max_new_tokens", 16),
    ("num_tokens", 10**12),
    ("tokens_per_second", 1234.5),
    ("key_dim", 64),
    ("num_key_value_heads", 8),
    ("pad_token_id", 0),
    ("eos_token_id", [2, 3]),
    ("token_dropout", 0.1),
    ("secret_share", 0.2),
    ("password_length", 16),
    ("use_auth_token", True),
    ("token", None),
    ("api_key", None),
    ("password", None),
    ("auth", False),
    ("n_keys", 3),
    ("token_ids", [101, 2023, 102]),
    ("secret", 42),
    ("passes", 3),
    ("private_keys", 0),
    # texts of tokenizers
    ("pad_token", "<pad>"),
    ("bos_token", "<|begin_of_text|>"),
    ("eos_token", "<|endoftext|>"),
    ("unk_token", "[UNK]"),
    ("sep_token", "</s>"),
    ("mask_token", "[MASK]"),
    ("image_token", "<|reserved_special_token_12|>"),
    ("additional_special_tokens", ["<|im_start|>", "<|im_end|>", "<|fim_prefix_and_suffix|>"]),
    ("tokenizer", "meta-llama/Llama-2-7b-chat-hf"),
    ("tokenizer_class", "PreTrainedTokenizerFast"),
    ("token_pattern", r"(?u)\b\w\w+\b"),
    ("token_type", "subword-sentencepiece-unigram"),
    ("token_strategy", "last_hidden_state_mean"),
    ("tokenization", "byte-pair-encoding-with-fallback"),
    # words, references, places
    ("auth", "kerberos-with-keytab-file"),
    ("auth_method", "service_account_impersonation"),
    ("author", "Ada Lovelace King"),
    ("authors", ["Ada Lovelace", "Charles Babbage"]),
    ("api_key", "your-api-key-goes-here"),
    ("password", ""),
    ("api_key_variable", "OPENAI_API_KEY_PRODUCTION"),
    ("token", "${oc.env:HF_TOKEN}"),
    ("password", "${db.password}"),
    ("password", "********"),
    ("password_file", "/run/secrets/database"),
    ("secret", "/run/secrets/database"),
    ("credentials", "/home/user/.config/gcloud/application_default_credentials.json"),
    ("pwd", "/home/user/project"),
    ("private_key", "~/.ssh/id_ed25519"),
    ("key_path", "C:\\Users\\ada\\keys\\train.pem"),
    ("secretary", "somebody"),
    ("auth_url", "https://login.example.com/oauth/token"),
    ("compass", "north-north-west-by-west"),
    ("keyboard", "qwertz"),
    ("passthrough", "features_and_predictions"),
    ("bypass", "all-reduce-of-gradients"),
    ("tokens", "words and pieces of words"),
    # digests, identifiers and versions under plain names
    ("sha256", made(64, HEX)),
    ("data_digest", made(64, HEX)),
    ("fingerprint", made(32, HEX)),
    ("md5", made(32, HEX)),
    ("commit", made(40, HEX)),
    ("cache_key", made(64, HEX)),
    ("sort_key", "created_at_then_identifier"),
    ("etag", made(32, HEX)),
    ("run_id", "20261123-101500-x7f3k2"),
    ("job", "4d1c7a2e-8c1b-4f0e-9a55-0c1d2e3f4a5b"),
    ("uuid", "123e4567-e89b-12d3-a456-426614174000"),
    ("gpu", "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"),
    ("image", f"pytorch/pytorch@sha256:{made(64, HEX)}"),
    ("content", made(32, HEX) + ".png"),
    ("node", "ip-10-0-12-34.eu-west-1.compute.internal"),
    ("id", made(26, UPPER)),
    ("session", "2026-11-23T10:15:00.123456+00:00"),
    ("version", "2.13.0+cu128.git1a2b3c4d5e6f"),
    ("seed", 2**63),
    ("build", "g++ (Debian 12.2.0-14+deb12u1) 12.2.0"),
    ("revision", made(40, HEX)),
    ("etag_list", [made(32, HEX), made(32, HEX)]),
    # models, data, files
    ("model", "mistralai/Mixtral-8x7B-Instruct-v0.1"),
    ("model", "tf_efficientnetv2_xl.in21k_ft_in1k"),
    ("model", "sk-resnet50"),
    ("base", "openai/whisper-large-v3-turbo"),
    ("teacher", "google/vit-base-patch16-224-in21k"),
    ("student", "convnextv2_base.fcmae"),
    ("estimator", "sk-learn-random-forest-classifier-baseline"),
    ("name", "hf_transformers_finetuning_of_the_encoder"),
    ("name", "key-value-memory-network"),
    ("name", "npm_package_of_the_front_end"),
    ("name", "pypi-download-counts-forecast"),
    ("name", "SGD.with_momentum.and_weight_decay"),
    ("name", "SKLearnPipelineWithStandardScaler"),
    ("name", "dapi-flow-matching"),
    ("data", "s3://bucket/train/part-00000-of-01024.parquet"),
    ("data", "gs://bucket/a@b/c"),
    ("data", "hdfs://namenode:8020/data/x@v2"),
    ("url", "http://localhost:8080/a/b@2.0?page=3"),
    ("url", "https://huggingface.co/datasets/org/name@main"),
    ("url", "ssh://git@host/x"),
    ("remote", "git@github.com:org/repository.git"),
    ("mail", "ada@example.com"),
    ("path", "/data/AKIA/ghp_/checkpoints/last.ckpt"),
    ("schedule", "xoxo-cosine-with-restarts"),
    ("loader", "xai-explanations-of-the-classifier"),
    ("run", "secret-santa-2026-baseline"),
    ("text", "The token: a unit of text. The password: it must be long."),
    ("text", "Authentication is done by the bearer of the ring"),
    ("text", "tokenizer=AutoTokenizer.from_pretrained(name), key=lambda pair: pair[1]"),
    ("text", "loss_token=0.3 key_dim=64"),
    ("text", "def connect(user: str, password: str, secret: bytes = b'') -> None:"),
    ("text", "password=args.password"),
    ("text", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"),
    ("text", "token = tokenizer.next_token(stream)"),
    ("text", "password = getpass.getpass()\nsecret = os.environ['DB_SECRET']\npassword = config['db']['password']"),
    ("text", 'sorted(rows, key=itemgetter("created")); keys: ["a", "b"]'),
    ("text", "pass: 1, bypass: 2, compass=3"),
    ("text", "eyJ is how base64 of an object begins"),
    ("base64", "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"),
]


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
