"""What is secret by its name: which names hold passwords and tokens, and which values there look like one."""

import enum
import functools
import math
import re
from collections import Counter
from itertools import pairwise

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_HEX = re.compile(r"(?=.*[a-fA-F])(?=.*\d)[0-9a-fA-F]{16,}")

# A name that ends in one of these holds a secret, however short it is.
_PASSWORDS = frozenset("password passwords passwd passphrase passcode pwd secret secrets".split())
# A name with one of these anywhere holds a secret if that looks random: a token is also a piece of text, auth a method.
_TOKENS = frozenset(
    "token tokens secret secrets password passwords passwd passphrase passcode pass pwd pw credential credentials cred "
    "creds auth authorization bearer jwt oauth cookie pat sas dsn apikey apikeys apitoken accesskey accesstoken "
    "secretkey privatekey authkey authtoken passkey".split()
)
# The last words of names that hold nothing but credentials, unless a word of tokenizers or of switches is with them.
_CREDENTIALS = frozenset(
    "token apikey apitoken accesskey accesstoken secretkey privatekey authkey authtoken password passwd secret".split()
)
_NO_CREDENTIALS = frozenset(
    "additional audio begin bos class cls decoder end eos eot forced has image is mask max min new no num number pad "
    "per prompt sep special start stop text unk use video with".split()
)
# "key" alone is the key of a dictionary; behind one of these it opens something.
_KEYS = frozenset(
    "access account admin airtable algolia alpaca amplitude anthropic api apify app assemblyai auth aws azure binance "
    "cerebras clearml client cloudflare cohere coinbase comet consumer databricks datadog dd deepgram deepinfra "
    "deepseek deploy digitalocean elevenlabs encryption exa fal fernet firebase firecrawl fireworks gcp gemini github "
    "gitlab google groq helicone heroku hf hmac huggingface jina kaggle langchain langfuse langsmith license llm "
    "mailgun mapbox master mistral mixpanel neptune newrelic ngc nvidia openai openrouter perplexity pinecone pplx "
    "preshared private qdrant rapidapi replicate roboflow rollbar runpod secret sendgrid sentry serpapi serper "
    "service shared sharing shodan signing slack ssh stability storage stripe subscription supabase swanlab tavily "
    "together twilio vercel voyage wandb weaviate write xai".split()
)
# Behind these it needs no look at what is given: an API key may be short, a storage key be a path.
_PLAIN_KEYS = frozenset("access api auth private secret".split())
# What identifies a token or key without opening anything.
_DIGESTS = frozenset("hash digest checksum fingerprint md sha".split())
# The 140 most frequent pairs of letters in the words and identifiers of Python's and machine learning libraries'
# sources: four fifths of the pairs in a word or name, one fifth in random letters, less in random letters and digits.
_COMMON_PAIRS = frozenset(
    "ab ac ad ag ai al am an ap ar as at ay ba bl ca ce ch ck cl co ct da de di do ea ec ed ee ef eg el em en ep er "
    "es et ex fi fo ge gr ha he ho ia ic id ie if ig il im in io is it iv iz ke la le li ll lo ls ly ma me mi mo mp "
    "na nc nd ne ng ni no ns nt oc od ol om on oo op or os ot ou pa pe pl po pr pt qu ra re ri rm rn ro rr rs rt sa "
    "sc se sh si so sp ss st su ta te th ti to tr ts tt tu ty ue ul um un ur us ut va ve ze".split()
)
# Each name that says anything has one of these in it; "sig" and "code" stand in the parameters of URLs.
STEMS = "pass pw secret token cred auth bearer jwt cookie pat sas dsn key sig login ?code= &code=".split()
_SHORTEST_TOKEN = 16
_LONGEST_TOKEN = 8192  # nobody's token is longer, and looking at one takes a microsecond a character
_FEWEST_PAIRS = 8
_LONGEST_PART = 10  # characters, on average


class Secrecy(enum.IntEnum):
    """What a name says about the text under it: nothing, secret if it looks random, secret."""

    NONE = 0
    TOKEN = 1
    PASSWORD = 2


@functools.lru_cache(4096)  # the same few names, over and over
def secrecy_of(name: str) -> Secrecy:
    """Judge a name by its whole words: api_key, apiKey, API-KEY; not tokenizer, keyboard, authors."""
    words = _words(name)
    if words and (words[-1] in _PASSWORDS or words[-1].endswith(("password", "passwd"))):
        return Secrecy.PASSWORD
    if words and words[-1] in _DIGESTS and not _PASSWORDS.intersection(words):
        return Secrecy.NONE
    if _TOKENS.intersection(words) or any(_is_key(*pair) for pair in pairwise(words)):
        return Secrecy.TOKEN
    return Secrecy.NONE


def is_credential(name: str, keys: frozenset[str] = _KEYS) -> bool:
    """Whether a name ends in a word for a credential and can mean nothing else: hf_token, api-key; not eos_token."""
    words = _words(name)
    if not words or _NO_CREDENTIALS.intersection(words):
        return False
    return words[-1] in _CREDENTIALS or _is_key(*words[-2:], keys=keys)


def is_plain_credential(name: str) -> bool:
    """Whether a name means a credential, whatever that looks like: api-key, hf-token; not storage-key."""
    return is_credential(name, _PLAIN_KEYS)


def _words(name: str) -> list[str]:
    words = [word.lower() for word in _WORD.findall(name[:256])]
    while words and words[-1].isdecimal():
        words.pop()
    return words


def _is_key(first: str, second: str = "", *, keys: frozenset[str] = _KEYS) -> bool:
    return second in ("key", "keys") and first in keys


def looks_random(text: str) -> bool:
    """Whether a text of 16 characters or more reads like a token rather than like words, a path or a model's name."""
    if not _SHORTEST_TOKEN <= len(text) <= _LONGEST_TOKEN or any(map(str.isspace, text)):
        return False
    if _HEX.fullmatch(text.replace("-", "")):
        return True
    pairs = [
        (first + second).lower()
        for first, second in pairwise(text)
        # Two digits say nothing: they stand in dates and versions as well as in tokens. Words join where a capital is.
        if first.isalnum()
        and second.isalnum()
        and not (first.isdecimal() and second.isdecimal())
        and not (first.islower() and second.isupper())
    ]
    if len(pairs) < _FEWEST_PAIRS or _is_of_parts(text):
        return False
    common = sum(pair in _COMMON_PAIRS for pair in pairs) / len(pairs)
    # Names of models and files have uncommon pairs about their hyphens and version numbers, tokens rarely have hyphens.
    return common < (0.6 if text.isalnum() else 0.55 if _bits_per_character(text) >= 4.5 else 0.45)


def _is_of_parts(text: str) -> bool:
    """Whether it is a name of short parts in small letters: flan-t5-xxl-v1_1, shard_00017.bin."""
    return text.islower() and len(text) < _LONGEST_PART * sum(map(text.count, "-_./"))


def _bits_per_character(text: str) -> float:
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())
