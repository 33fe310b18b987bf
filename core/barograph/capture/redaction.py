"""Values without secrets: passwords, tokens and keys are replaced before anything reaches the disk.

A value goes because of its shape (secret_shapes.py) or because of the name it stands under (secret_names.py). Numbers
never go: max_tokens, key_dim and pad_token_id stay.
"""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from barograph.capture.secret_names import Secrecy, is_credential, looks_random, secrecy_of
from barograph.capture.secret_shapes import REDACTED, hide_shapes

# What stands in place of a secret that is elsewhere, or of none; a path says where one is.
_PLACEHOLDER = re.compile(r"|\*+|none|null|true|false|\$\{.*\}|<.*>|\[redacted\]", re.IGNORECASE | re.DOTALL)
_PATH = re.compile(r"~/.|\.{1,2}/.|[A-Za-z]:[\\/].|/[^/]+/.")
_NUMBER = re.compile(r"[-+]?[\d.,]+(?:e[-+]?\d+)?", re.IGNORECASE)
_OPTION = re.compile(r"(?P<name>-{0,2}\+{0,2}[A-Za-z_][\w.@/-]*)(?P<sign>[=:])(?P<value>.*)", re.DOTALL)
_SHORT_OPTIONS = ("-p", "-k", "-t")  # password, key, token to some; port, top-k, threads to others

# name=value, name: value, "name": "value" in a text. The name begins before the match: looking for its beginning at
# every character would take quadratic time in a long word.
_ASSIGNMENT = re.compile(
    r"(?:pass|pwd|secret|token|key|cred|auth|sig|jwt|bearer|cookie)(?P<rest>[\w.-]{0,64})"
    r"\\?[\"']?[ \t]{0,8}(?P<sign>:=|=>|=|:)[ \t]{0,8}",
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"[bBfFrRuU]{0,2}(?:\\?\"(?P<double>[^\"\n]*?)\\?\"|'(?P<single>[^'\n]*)')|(?P<bare>[^\s\"',;&)}\]]+)"
)
_LONGEST_NAME = 64
_LONGEST_BARE = 1024  # a value is judged by so much of it
# In code and in prose: a call, an index, a template, a variable, a type.
_NO_LITERAL = re.compile(r".*[(\[{].*|[$%].*|(?:str|bytes|int|bool|float|object|Any|None|string|SecretStr)", re.DOTALL)


def redact(value: Any) -> Any:  # Any: JSON
    """A copy of nested dicts, lists and texts in which "[redacted]" stands for every secret.

    Takes what `to_plain()` gives. A list that holds options is treated as a command line.
    """
    return _redact(value, Secrecy.NONE)


def redact_argv(arguments: Sequence[str]) -> list[str]:
    """A command line without secrets: --token X, --token=X, token=X, -p X, and whatever has the shape of one."""
    kept: list[str] = []
    option = ""
    for argument in arguments:
        given = _OPTION.fullmatch(argument)
        if option and not argument.startswith("--"):
            kept.append(_redact_argument(option, argument))
            option = ""
            continue
        if given and secrecy_of(given["name"]) is not Secrecy.NONE:
            kept.append(given["name"] + given["sign"] + _redact_argument(given["name"], given["value"]))
        else:
            kept.append(redact_text(argument))
        option = argument if argument.startswith("-") and not given else ""
    return kept


def redact_url(url: str) -> str:
    """A URL or scp-like address without user, password and secret parameters; the user of an ssh address stays."""
    try:
        parts = urlsplit(url)
        login, at, host = parts.netloc.rpartition("@")
    except ValueError:
        return redact_text(url)
    if at and parts.scheme.endswith("ssh"):
        host = f"{login.partition(':')[0]}@{host}"
    return redact_text(urlunsplit(parts._replace(netloc=host)) if at else url)


def redact_text(text: str) -> str:
    """A text in which "[redacted]" stands for what has the shape of a secret or is assigned to a secret name.

    Code stays code: `password=args.password` and `token = tokenizer.next()` are no secrets. A long text is best given
    in pieces of whole lines: 64 KiB take about 10 ms, in which no other thread of Python runs.
    """
    return _redact_assignments(hide_shapes(text))


def _redact(value: Any, secrecy: Secrecy) -> Any:
    if isinstance(value, str):
        return REDACTED if _is_secret(value, secrecy) else redact_text(value)
    if isinstance(value, dict):
        # Under "secrets" stand names and values of which only some are secret; under "password" nothing does.
        inherited = Secrecy.NONE if secrecy is Secrecy.NONE else Secrecy.TOKEN
        return {hide_shapes(key): _redact(item, max(inherited, secrecy_of(key))) for key, item in value.items()}
    if isinstance(value, list):
        if all(isinstance(item, str) for item in value) and any(item.startswith("-") for item in value):
            return redact_argv(value)
        return [_redact(item, secrecy) for item in value]
    return value


def _is_secret(value: str, secrecy: Secrecy) -> bool:
    if secrecy is Secrecy.NONE or _PLACEHOLDER.fullmatch(value):
        return False
    return looks_random(value) or (secrecy is Secrecy.PASSWORD and not _PATH.match(value))


def _redact_argument(option: str, value: str) -> str:
    """The value of an option. On a command line --token gives a token even if it is short."""
    if is_credential(option) and not (_PLACEHOLDER.fullmatch(value) or _PATH.match(value) or _NUMBER.fullmatch(value)):
        return REDACTED
    if option in _SHORT_OPTIONS and looks_random(value):
        return REDACTED
    return REDACTED if _is_secret(value, secrecy_of(option)) else redact_text(value)


def _redact_assignments(text: str) -> str:
    pieces, kept_to = [], 0
    for match in _ASSIGNMENT.finditer(text):
        if match.start() < kept_to:
            continue  # inside a value that is gone
        secrecy = _secrecy_in_text(text, match)
        value = None if secrecy is Secrecy.NONE else _VALUE.match(text, match.end())
        if value is not None and _is_assigned_secret(value, match["sign"], secrecy):
            start, end = value.span(value.lastgroup or 0)
            pieces += [text[kept_to:start], REDACTED]
            kept_to = end
    return "".join([*pieces, text[kept_to:]]) if pieces else text


def _secrecy_in_text(text: str, match: re.Match[str]) -> Secrecy:
    start, earliest = match.start(), max(0, match.start() - _LONGEST_NAME)
    while start > earliest and (text[start - 1].isalnum() or text[start - 1] in "_.-"):
        start -= 1
    name = text[start : match.end("rest")]
    if text[start - 1 : start] in ("?", "&") and name.lower().endswith(("sig", "signature")):
        return Secrecy.TOKEN  # of a signed URL; elsewhere a signature proves something and opens nothing
    return secrecy_of(name)


def _is_assigned_secret(value: re.Match[str], sign: str, secrecy: Secrecy) -> bool:
    word = value[value.lastgroup or 0][:_LONGEST_BARE]
    if value.lastgroup == "bare":
        if _NO_LITERAL.fullmatch(word) or secrecy_of(word) is not Secrecy.NONE:
            return False
        # "password: it must be long" is prose; a setting ends with its value.
        if sign == ":" and secrecy is Secrecy.PASSWORD and value.string[value.end() : value.end() + 1].strip(",;}\r\n"):
            return False
    return _is_secret(word, secrecy)
