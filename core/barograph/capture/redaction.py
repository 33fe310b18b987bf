"""Values without secrets: passwords, tokens and keys are replaced before anything reaches the disk.

A value goes because of its shape (secret_shapes.py) or because of the name it stands under (secret_names.py). Numbers
never go: max_tokens, key_dim and pad_token_id stay.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from barograph.capture.secret_names import STEMS, Secrecy, is_credential, is_plain_credential, looks_random, secrecy_of
from barograph.capture.secret_shapes import REDACTED, hide_private_keys, hide_shapes, hide_shapes_of_a_line

_OPTION = re.compile(r"(?P<name>-{0,2}\+{0,2}[A-Za-z_][\w.@/-]*)(?P<sign>[=:])(?P<value>.*)", re.DOTALL)
_ONLY_A_SWITCH = re.compile(r"--|-[A-Za-z]\Z")  # what stands before another option has no value
_SHORT_OPTIONS = ("-p", "-k", "-t")  # password, key, token to some; port, top-k, threads to others

# name=value, name: value, "name": "value", name := value, name => value in a text; no comparison, no ::
_SIGNS = re.compile(r"[:=]+>?")
_ASSIGNING = (":", "=", ":=", "=>")
_NAME_BACKWARDS = re.compile(r"[ \t]{0,8}[\"']?\\?(?P<name>[\w.-]{1,64})(?P<before>.?)", re.DOTALL)

_PIECE = 16 * 1024  # characters

# The expressions from here on are kept as text: they are only needed where a name is one of a secret, and compiling
# them all takes longer than the rest of a run's start.
_VALUE = (
    r"[ \t]{0,8}[bBfFrRuU]{0,2}(?:\\?\"(?:\"\")?(?P<double>[^\"\n]{0,4096}?)\\?\"|'(?:'')?(?P<single>[^'\n]{0,4096})')"
    r"|[ \t]{0,8}(?P<bare>[^\s\"',;&)}\]=]{1,256})"
)
_REST = r"[^\s\"',;&)}\]]*"  # of a bare value, after what it is judged by
_MORE_WORDS = r"[ \t]+[^\s#]"
# In code: a call, an index, a template, a type; and a number, which in a text has no type.
_NO_LITERAL = r"(?s:[A-Za-z_][\w.]*[(\[].*|[${%(].*|\d{1,3}|str|bytes|int|bool|float|object|Any|None|string|SecretStr)"
_LETTERS, _GOES_ON = r"[A-Za-z_][A-Za-z_.]*", r" +=|[,)]"  # an argument, or one of several names
_VARIABLE = r"[a-z_][a-z0-9_.]*|[A-Z_][A-Z0-9_]*"
# What stands in place of a secret that is elsewhere, or of none; a path says where one is.
_PLACEHOLDER = r"(?i:|\*+|none|null|true|false|\$\{[^\n]*\}|<[^<>:]*>|\[redacted\])"
_PATH = r"~/.|\.{1,2}/.|[A-Za-z]:[\\/].|/[^/]+/."
_NUMBER = r"[-+]?[\d.,]+(?:[eE][-+]?\d+)?"
# What reads like a token, and the words and signs before it that say of what: "api_key", default="...".
_CANDIDATE = r"[\w+/.~-]{16,}"
_WORD_BEFORE = r"(?P<name>-{0,2}[A-Za-z_][\w.-]*)(?P<sign>[\"'\])\\]*[ \t]{0,8}[:=]?)"
_BEFORE_A_VALUE = 120  # characters
_PARAMETERS = ("sig", "signature", "code", "key")  # of URLs
# They stand between a name and its value: of arguments, types and fields.
_BETWEEN = frozenset("default value key str bytes type final optional string data none or get".split())
_HEADER = r"(?i:basic|bearer|token|digest|apikey)\s+(?=\S+[A-Z\d])\S{8,}"  # of HTTP: a word, then a secret


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
        if option and not _ONLY_A_SWITCH.match(argument):
            kept.append(REDACTED if _is_secret_argument(option, argument) else redact_text(argument))
            option = ""
            continue
        if given and _is_secret_argument(given["name"], given["value"]):
            kept.append(given["name"] + given["sign"] + REDACTED)
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

    Code stays code: `password=args.password` and `token = tokenizer.next()` are no secrets. 64 KiB take about 4 ms,
    in which no other thread of Python runs; `redact_long()` is for what is longer.
    """
    return _redact_by_name(hide_shapes(text))


def redact_long(text: str, rest: Callable[[], None]) -> str:
    """The same for a long text, in pieces of a millisecond, with a call of `rest` after each.

    No line is added and none goes, so that a diff can still be applied.
    """
    pieces = []
    for piece in _pieces(hide_private_keys(text, keep_lines=True)):
        pieces.append(_redact_by_name(hide_shapes_of_a_line(piece)))
        rest()
    return "".join(pieces)


def _pieces(text: str) -> Iterator[str]:
    """Whole lines, or parts of very long ones: cut where a text in JSON can be cut without parting a name and value."""
    start = 0
    while start < len(text):
        end = start + _PIECE
        if end < len(text):
            cuts = (text.rfind(letter, start, end) for letter in "\n,; ")
            end = 1 + next((cut for cut in cuts if cut > start), end - 1)
        yield text[start:end]
        start = end


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
    if secrecy is Secrecy.NONE or re.fullmatch(_PLACEHOLDER, value):
        return False
    if looks_random(value) or re.fullmatch(_HEADER, value):
        return True
    return secrecy is Secrecy.PASSWORD and not re.match(_PATH, value)


def _is_secret_argument(option: str, value: str) -> bool:
    """On a command line --token gives a token even if it is short."""
    if is_plain_credential(option):
        return not (re.fullmatch(f"{_PLACEHOLDER}|{_NUMBER}", value) or re.match(_PATH, value))
    return _is_secret(value, Secrecy.TOKEN if option in _SHORT_OPTIONS else secrecy_of(option))


def _redact_by_name(text: str) -> str:
    lines = _telling_lines(text)
    redacted = _redact_assignments(text, lines)
    return _redact_named(redacted, lines if redacted is text else _telling_lines(redacted))


def _redact_assignments(text: str, lines: list[tuple[int, int]]) -> str:
    pieces, kept_to = [], 0
    signs = (sign for start, end in lines for sign in _SIGNS.finditer(text, start, end))
    for sign in signs:
        if sign.start() < kept_to or sign[0] not in _ASSIGNING:
            continue  # inside a value that is gone, or no assignment
        secrecy = _secrecy_before(text, sign.start())
        value = None if secrecy is Secrecy.NONE else re.compile(_VALUE).match(text, sign.end())
        if value is not None and _is_assigned_secret(value, sign[0], secrecy):
            start, kept = value.start(value.lastgroup or 0), kept_to
            kept_to = value.end(value.lastgroup or 0)
            if value.lastgroup == "bare" and (rest := re.compile(_REST).match(text, kept_to)):
                kept_to = rest.end()
            pieces += [text[kept:start], REDACTED]
    return "".join([*pieces, text[kept_to:]]) if pieces else text


def _redact_named(text: str, lines: list[tuple[int, int]]) -> str:
    """Without what reads like a token and stands on one line with the name of one, or alone on the next.

    That is where programs have them: os.environ["API_KEY"] = "...", add_argument("--api-key", default="...").
    """
    pieces, kept_to = [], 0
    for start, end in lines:
        end = text.find("\n", end + 1)
        for found in re.compile(_CANDIDATE).finditer(text, max(start, kept_to), len(text) if end < 0 else end):
            before = text[max(start, found.start() - _BEFORE_A_VALUE) : found.start()]
            if any(map(str.isdecimal, found[0])) and _is_named(before) and looks_random(found[0]):
                pieces += [text[kept_to : found.start()], REDACTED]
                kept_to = found.end()
    return "".join([*pieces, text[kept_to:]]) if pieces else text


def _is_named(before: str) -> bool:
    """Whether the nearest name before a value that is not of another value is one of a credential."""
    for word in reversed(list(re.finditer(_WORD_BEFORE, before))):
        name = word["name"]
        if (is_credential(name) and name.lower() != "token") or name.lower().endswith("login"):
            return True
        if name.lower() not in _BETWEEN and (word["sign"][-1:] in (":", "=") or "\n" in before[word.end() :]):
            return False
    return False


def _telling_lines(text: str) -> list[tuple[int, int]]:
    """Where the lines begin and end in which a name could be one of a secret: few, and found fast."""
    lowered = text.lower()
    if len(lowered) != len(text):  # some letters have a small form of two
        return [(0, len(text))]
    lines = set()
    for stem in STEMS:
        at = lowered.find(stem)
        while at >= 0:
            end = lowered.find("\n", at)
            end = len(text) if end < 0 else end
            lines.add((lowered.rfind("\n", 0, at) + 1, end))
            at = lowered.find(stem, end)
    return sorted(lines)


def _secrecy_before(text: str, end: int) -> Secrecy:
    """What the name that ends there says. It is read backwards: forwards its beginning takes quadratic time to find."""
    match = _NAME_BACKWARDS.match(text[max(0, end - 80) : end][::-1])
    if match is None:
        return Secrecy.NONE
    name = match["name"][::-1]
    if match["before"] in ("?", "&") and name.lower().endswith(_PARAMETERS):
        return Secrecy.TOKEN  # of a signed URL; elsewhere a signature proves something and opens nothing
    return secrecy_of(name)


def _is_assigned_secret(value: re.Match[str], sign: str, secrecy: Secrecy) -> bool:
    word = value[value.lastgroup or 0]
    if word.startswith(REDACTED[:-1]):
        return False  # it is gone already
    if value.lastgroup == "bare":
        if re.fullmatch(_LETTERS, word) and re.compile(_GOES_ON).match(value.string, value.end()):
            return False
        if re.fullmatch(_NO_LITERAL, word) or (re.fullmatch(_VARIABLE, word) and secrecy_of(word) is not Secrecy.NONE):
            return False
        # "password: it must be long" is prose; a setting ends with its value.
        if sign == ":" and secrecy is Secrecy.PASSWORD and re.compile(_MORE_WORDS).match(value.string, value.end()):
            return False
    return _is_secret(word, secrecy)
