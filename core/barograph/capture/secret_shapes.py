"""What is secret by its shape, under whatever name: the tokens of many services, private keys, logins inside URLs."""

import re

from barograph.capture.secret_names import looks_random

REDACTED = "[redacted]"

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_MIXED = r"(?=\w{0,30}\d)(?=\w{0,30}[A-Z])"

# What tokens begin with, and what must follow. What is kept of a token is this beginning: it says which kind it was.
_BEGINNINGS: tuple[tuple[str, str], ...] = (
    ("AKIA ASIA ABIA ACCA", r"[A-Z0-9]{16}(?![A-Za-z0-9])"),  # Amazon
    ("ghp_ gho_ ghu_ ghs_ ghr_", r"[A-Za-z0-9_]{20,}"),  # GitHub
    ("github_pat_", r"\w{20,}"),
    ("glpat- gldt- glrt- glcbt- glptt- glft- glsoat- glagent- glffct- gloas- glimt-", r"[\w.-]{20,}"),  # GitLab
    ("xoxa- xoxb- xoxc- xoxd- xoxe- xoxp- xoxr- xoxs- xapp- xoxe.", r"(?=[\w.-]{0,40}\d)[\w.%-]{10,}"),  # Slack
    ("hooks.slack.com/services/ hooks.slack.com/workflows/ hooks.slack.com/triggers/", r"[\w/]{16,}"),
    ("discord.com/api/webhooks/ discordapp.com/api/webhooks/", r"\d+/[\w-]{20,}"),
    ("webhook.office.com/webhookb2/", r"[\w@/-]{20,}"),
    ("api.telegram.org/bot", r"\d+:[\w-]{30,}"),
    ("sk-", r"[A-Za-z0-9]{20,}"),  # OpenAI and those who follow it
    ("sk-proj- sk-svcacct- sk-admin- sk-None- sk-ant- sk-or- sk-lf- sk-live- sk-test- sk-helicone-", r"[\w-]{16,}"),
    ("sess-", r"[A-Za-z0-9]{40}(?![\w-])"),
    ("hf_ api_org_", r"[A-Za-z0-9]{30,}"),  # Hugging Face
    ("wandb_v1_", r"\w{20,}"),
    ("eyJhcGlfYWRkcmVzcyI6 eyJhcGlfdXJsIjo eyJrIjoi", r"[\w+/=-]{40,}"),  # JSON with a key: Neptune, Grafana
    ("eyJ", r"[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*){1,3}"),  # JSON web tokens, signed and encrypted
    ("AIza", r"[\w-]{35}"),  # Google
    ("ya29. 1//0", r"[\w-]{20,}"),
    ("GOCSPX-", r"[\w-]{20,}"),
    ("sk_live_ sk_test_ rk_live_ rk_test_", r"[A-Za-z0-9]{10,}"),  # Stripe
    ("sk_", r"[0-9a-f]{48}(?!\w)"),  # ElevenLabs
    ("whsec_", r"[A-Za-z0-9+/=]{24,}"),
    ("npm_", r"[A-Za-z0-9]{36}"),
    ("pypi-", r"[\w-]{50,}"),
    ("rubygems_", r"[0-9a-f]{48}"),
    ("SG.", r"[\w-]{16,}\.[\w-]{16,}"),  # SendGrid
    ("SK", r"[0-9a-f]{32}(?![A-Za-z0-9])"),  # Twilio
    ("dapi", r"[0-9a-f]{32}(?:-\d)?(?![A-Za-z0-9])"),  # Databricks
    ("dop_v1_ doo_v1_ dor_v1_", r"[0-9a-f]{64}"),  # DigitalOcean
    ("dckr_pat_ dckr_oat_", r"[\w-]{20,}"),  # Docker
    ("hvs. hvb. hvr.", r"[\w-]{20,}"),  # Vault
    ("shpat_ shpca_ shppa_ shpss_", r"[0-9a-fA-F]{32}"),  # Shopify
    ("sq0atp- sq0csp-", r"[\w-]{20,}"),  # Square
    ("lin_api_", r"[A-Za-z0-9]{32,}"),
    ("secret_ ntn_", r"[A-Za-z0-9]{40,}|[\w-]{1,40}_[0-9a-f]{32}\.[A-Za-z0-9]{32}"),  # Notion, Lambda
    ("figd_", r"[\w-]{20,}"),
    ("ATATT3x ATCTT3x", r"[\w=-]{40,}"),  # Atlassian
    ("ATBB", r"[A-Za-z0-9]{32}(?![A-Za-z0-9])"),
    ("ATTA", r"[A-Za-z0-9]{60,}"),
    ("r8_", r"[A-Za-z0-9]{36,}"),  # Replicate
    ("gsk_ xai- pplx- csk-", r"[A-Za-z0-9]{40,}"),  # Groq, xAI, Perplexity, Cerebras
    ("fw_", r"[A-Za-z0-9]{22,}"),  # Fireworks
    ("nvapi-", r"[\w-]{40,}"),
    ("lsv2_pt_ lsv2_sk_ ls__", r"[0-9a-f]{32}\w*"),  # LangSmith
    ("pcsk_", r"\w{40,}"),  # Pinecone
    ("glsa_ glc_ sntrys_ sntryu_", r"[\w+/=-]{32,}"),  # Grafana, Sentry
    ("NRAK-", r"[A-Z0-9]{27}"),  # New Relic
    ("PMAK-", r"[0-9a-f]{24}-[0-9a-f]{34}"),  # Postman
    ("pscale_tkn_ pscale_pw_ pscale_oauth_", r"[\w.=-]{32,}"),
    ("sbp_", r"[0-9a-f]{40}"),  # Supabase
    ("pul-", r"[0-9a-f]{40}"),  # Pulumi
    ("dp.pt. dp.st. dp.ct. dp.sa.", r"[\w.-]{40,}"),  # Doppler
    ("tskey-", r"[\w-]{16,}"),  # Tailscale
    ("HRKU-", r"[\w-]{30,}"),  # Heroku
    ("LTAI", r"[A-Za-z0-9]{17,21}(?![A-Za-z0-9])"),  # Alibaba
    ("AKID", r"[A-Za-z0-9]{32}(?![A-Za-z0-9])"),  # Tencent
    ("AGE-SECRET-KEY-1", r"[0-9A-Z]{50,}"),
    ("ops_eyJ", r"[\w+/=-]{40,}"),  # 1Password
    ("FwoGZXIvYXdzE IQoJb3JpZ2lu", r"[\w+/=%-]{60,}"),  # sessions of Amazon
    ("ABSK bedrock-api-key-", r"[A-Za-z0-9+/=]{90,}"),
    ("amzn.mws. access-sandbox- access-development- access-production- pat-na1- pat-eu1-", _UUID),  # Plaid, HubSpot
    ("fm1_ fm1r_ fm2_ fo1_", r"[\w+/=-]{40,}"),  # Fly
    ("pat", r"[A-Za-z0-9]{14}\.[0-9a-f]{64}(?![A-Za-z0-9])"),  # Airtable
    ("sl.", r"(?:u\.)?[\w-]{120,}"),  # Dropbox
    ("tgp_v1_", r"[\w-]{40,}"),  # Together
    ("bkua_ pnu_ pnb_ dag_", r"[A-Za-z0-9]{36,}"),  # Buildkite, Prefect, Dagster
    ("CCIPAT_ CCIPRJ_", r"\w{40,}"),  # CircleCI
    ("essu_", r"[\w+/=-]{40,}"),  # Elastic
    ("ak- as-", r"(?=[a-zA-Z]{0,21}\d)(?=[a-z\d]{0,21}[A-Z])[A-Za-z0-9]{22}(?![\w-])"),  # Modal
    ("EAA", r"(?!\w{0,200}AAAA)[A-Za-z0-9]{110,}(?![\w+/=])"),  # Facebook; what has AAAA in it are numbers in base64
    ("EAAA", r"(?!\w{0,60}AAAA)(?=[A-Za-z]{0,40}[\d_-])[\w-]{60}(?![\w+/=-])"),  # Square
    ("AAAAAAAAAAAAAAAAAAAAA", r"[A-Za-z0-9%]{16,80}%(?:3D|2F|2B)[A-Za-z0-9%]{30,}"),  # Twitter
    (":APA91b", r"[\w-]{100,}"),  # Firebase
    ("xkeysib- xsmtpsib-", r"[0-9a-f]{64}-[A-Za-z0-9]{16}"),  # Brevo
    ("sk.eyJ", r"[\w-]{20,}\.[\w-]{20,}"),  # Mapbox
    ("shippo_live_ shippo_test_ sqp_ squ_ sqa_", r"[0-9a-f]{40}"),  # Shippo, SonarQube
    ("EZAK EZTK", r"[A-Za-z0-9]{54}"),  # EasyPost
    ("pa-", rf"{_MIXED}\w{{40,}}"),  # Voyage
    ("duffel_live_ duffel_test_ CFPAT- tfp_", r"(?=[\w-]{0,60}\d)[\w-]{40,}"),  # Duffel, Contentful, Typeform
    ("1/", r"\d{13,20}:[0-9a-f]{32}(?!\w)"),  # Asana
    ("nfp_ vck_ vcp_ llx- phx_ pat_", r"[A-Za-z0-9]{36,}"),  # Netlify, Vercel, LlamaCloud, PostHog, Coze
    ("jina_ AKCp", r"[A-Za-z0-9]{50,}"),  # Jina, JFrog
    ("rnd_", rf"{_MIXED}[A-Za-z0-9]{{28}}(?!\w)"),  # Render
    ("re_", rf"{_MIXED}[A-Za-z0-9]{{8}}_[A-Za-z0-9]{{24}}(?!\w)"),  # Resend
    ("v1.0-", r"[0-9a-f]{24}-[0-9a-f]{146}"),  # Cloudflare
    ("dt0c01. dt0s01. dt0s16.", r"[A-Z0-9]{24}\.[A-Z0-9]{64}"),  # Dynatrace
    ("CLOJARS_", r"[0-9a-f]{60}(?!\w)"),
    ("oy2", r"(?=[a-z]{0,42}\d)[a-z0-9]{43}(?!\w)"),  # NuGet
    ("SWMTKN-1-", r"[a-z0-9]{40,}-[a-z0-9]{20,}"),  # Docker Swarm
    ("sb_secret_", rf"{_MIXED}[\w-]{{20,}}"),  # Supabase
    ("napi_ esecret_", r"(?=[a-z]{0,25}\d)[a-z0-9]{26,}(?!\w)"),  # Neon, Anyscale
    ("rpa_", r"(?=[A-Z]{0,39}\d)[A-Z0-9]{40}\w*"),  # RunPod
    ("KGAT_ fc-", r"[0-9a-f]{32}(?![\w-])"),  # Kaggle, Firecrawl
    ("tvly-", r"(?:dev-|prod-)?(?=[A-Za-z]{0,30}\d)[A-Za-z0-9]{20,}"),  # Tavily
    ("apify_api_", r"[A-Za-z0-9]{30,}"),
    ("sgp_", r"(?:[0-9a-f]{16}_|local_)?[0-9a-f]{40}"),  # Sourcegraph
    # the two that have their own beginning before a digit: the number of a Telegram bot, and Entra's three characters
    (":AA", r"[\w-]{32,34}(?![\w-])"),
    ("Q~", r"[\w~.-]{31,34}(?![\w~.-])"),
)
_AFTER_A_DIGIT = (":AA", "Q~")
_BODIES = {beginning: body for listed, body in _BEGINNINGS for beginning in listed.split()}
_SHORTEST = 15
# Where tokens are looked for: nothing shorter is one, and most words are.
_RUN = re.compile(rf"[\w.~+/=:@%\\-]{{{_SHORTEST},}}")
# What begins like anything else is only looked for in longer runs.
_LONG_RUN = re.compile(r"[\w.-]{32,}")
_WITHOUT_BEGINNING = (
    r"(?<![\w-])()[0-9a-f]{32}(?=-us\d{1,2}\b)",  # Mailchimp
    r"(?<![\w-])(key-)[0-9a-f]{32}(?![\w-])",  # Mailgun
    r"(?<![\w-])()[A-Za-z0-9]{14}\.atlasv1\.[\w-]{60,}",  # Terraform
    r"(?<![\w.-])()[MNO][\w-]{23,25}\.[\w-]{6}\.[\w-]{27,38}(?![\w.-])",  # Discord
)

# The expressions from here on are kept as text: few runs ever need them, and compiling all of them takes 10 ms.
# Begins a key only if one follows: programs have such lines as texts. A key that is cut off ends where letters do.
_PRIVATE_KEYS = {
    "PRIVATE KEY": r"(-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)"
    r"(?=.{0,300}?(?=[A-Za-z+/]{0,15}\d)[A-Za-z0-9+/=]{16})"
    r"(?:(?:[^-]|-(?!----BEGIN)){0,16000}?(?P<end>-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)"
    r"|[\w+/=\s\\\"',:-]*)",
    # of PuTTY
    "Private-Lines: ": r"(Private-Lines: \d{1,3})(?:(?:\s|\\[rn])+[+-]?[A-Za-z0-9+/=]{16,64}(?![\w+/=]))+(?P<end>)",
}
# user:password@ and, because a token can stand for the user, user@; a password may hold "@", and "/" if what comes
# before that is no port.
_LOGIN = r"://([^\s/?#\"'<>]{0,256}|[^\s/?#\"'<>@:]{0,256}:(?!\d{1,5}[/?#])[^\s\"'<>@]{0,256})@"
# Both names as they are written: a search that ignores case takes ten times as long.
_HEADER = (
    r"((?:authorization|Authorization|AUTHORIZATION)\\?[\"']?\s{0,8}[:=]\s{0,8}\\?[\"']?"
    r"(?:(?i:bearer|basic|token|digest|apikey)[ \t]{1,8})?|(?:bearer|Bearer|BEARER)[ \t]{1,8})([\w.~+/=-]{8,})"
)
_HEADER_NAMES = ("uthorization", "UTHORIZATION", "earer", "EARER")


def hide_shapes(text: str) -> str:
    """The text without what has the shape of a credential; linear in its length, whatever it holds."""
    return hide_shapes_of_a_line(hide_private_keys(text))


def hide_shapes_of_a_line(text: str) -> str:
    """The same but for private keys, the only ones that take more than a line."""
    if "://" in text:
        text = re.sub(_LOGIN, _hide_login, text)
    if _holds_token(text):
        text = _hide_all_tokens(text)
    return re.sub(_HEADER, _hide_header, text) if any(name in text for name in _HEADER_NAMES) else text


def hide_private_keys(text: str, keep_lines: bool = False) -> str:
    """The text without private keys. keep_lines: a line for each line that goes, as the hunks of a diff need it."""
    for word, shape in _PRIVATE_KEYS.items():
        if word in text:
            text = re.sub(shape, _hide_lines if keep_lines else _hide_key, text, flags=re.DOTALL)
    return text


def _holds_token(text: str) -> bool:
    """Looks at each long run of letters once: a hundredth of the source of a program, which has few and often."""
    words = {word for word in text.split() if len(word) >= _SHORTEST}
    runs = "\n".join(set(_RUN.findall("\n".join(words)))) if words else ""
    return bool(runs) and _hide_all_tokens(runs) != runs


def _hide_all_tokens(text: str) -> str:
    return _hide_tokens(_LONG_RUN.sub(_hide_without_beginning, text))


def _hide_tokens(text: str) -> str:
    found = []
    for beginning in _BODIES:
        start = text.find(beginning)
        while start >= 0:
            found.append((start, -len(beginning), beginning))
            start = text.find(beginning, start + 1)
    pieces, kept_to = [], 0
    for start, length, beginning in sorted(found):  # of two at one place the longer one first: it says more
        before = text[start - 1 : start]
        is_escape = before in ("n", "r", "t") and text[start - 2 : start - 1] == "\\"  # the end of a line inside a text
        fits = (
            before.isdecimal()
            if beginning in _AFTER_A_DIGIT
            else is_escape or not (before.isalnum() and beginning[0].isalnum())
        )
        # What is no token is in the middle of a word, or inside the token before.
        if fits and start >= kept_to and (body := re.compile(_BODIES[beginning]).match(text, start - length)):
            pieces += [text[kept_to : start - length], REDACTED]
            kept_to = body.end()
    return "".join([*pieces, text[kept_to:]]) if pieces else text


def _hide_without_beginning(match: re.Match[str]) -> str:
    run = match[0]
    for shape in _WITHOUT_BEGINNING:
        run = re.sub(shape, rf"\1{REDACTED}", run)
    return run


def _hide_key(match: re.Match[str]) -> str:
    return match[1] + REDACTED + (match["end"] or "")


def _hide_lines(match: re.Match[str]) -> str:
    end = match["end"] or ""
    _, *lines = match[0][len(match[1]) : len(match[0]) - len(end)].split("\n")
    signs = [line[:1] if line[:1] in ("+", "-", " ") else "" for line in lines]  # of a diff
    return "\n".join([match[1] + REDACTED, *signs]) + end


def _hide_login(match: re.Match[str]) -> str:
    _, colon, password = match[1].partition(":")
    return f"://{REDACTED}@" if (colon and password) or looks_random(match[1]) else match[0]


def _hide_header(match: re.Match[str]) -> str:
    # "bearer" is also a word of prose.
    is_header = match[1].lower().startswith("authorization")
    return match[1] + REDACTED if is_header or looks_random(match[2]) else match[0]
