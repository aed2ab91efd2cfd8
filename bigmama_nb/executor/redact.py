"""No secret reaches the archive: values, pieces of them, `user:password` in a URI and known token shapes become •••.

Source: docs/spec/runs_and_archive.md, "Secrets and people".
"""

from __future__ import annotations

import base64
import html
import os
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from bigmama_nb.errors import REASONS
from bigmama_nb.executor.fragments import Fragments
from bigmama_nb.executor.seen_text import SeenText
from bigmama_nb.profile.uris import LOGIN, MASK

if TYPE_CHECKING:
    from bigmama_nb.profile import Profile

SHORTEST = 6
"""A known value of fewer characters is hidden only in a URI or behind a word such as `password=`.

Hiding "dev" wherever it stands would make a notebook unreadable, and would say what the secret is.
"""

AMBIENT = re.compile(
    r"(?i)(?:^|_)(?:password|passwd|passphrase|secret|token|api_?key|access_?key|secret_?key|private_?key|credentials?)"
    r"(?:_|$)"
)
"""Names of variables that hold secrets although no profile names them, such as AWS_SECRET_ACCESS_KEY."""
NOT_A_SECRET = re.compile(r"(?i)_(?:file|path|dir|url|uri|name|env|id)$")
AMBIENT_SHORTEST = 8
LONG = 500
"""Characters from which on it is quicker to look for one hint after the other than for all at once."""
REMEMBERED = 65_536
"""Short texts of which is remembered what they are without secrets."""
_TELL_NOTHING = frozenset({int, float, bool, type(None)})

VOCABULARY = (
    # What a record, a notebook and a message are made of: hidden there, it would be no record any more.
    "10_extract 20_normalize 30_live_play 40_write_parquet 50_report.ipynb normalized.parquet published extracted "
    "planned game_metric wv_live_play we_mart stats_ part_date part_month bigmama.db run_timestamp exit_status "
    "environment attempts notebooks redactions heartbeat_at started_at ended_at pipelines profile metrics "
    "not_ready suspect skipped rejected_share unmatched_joins unmatched_leaves documents queries clusters "
    "warehouse archive.uri abandoned running partial failed killed timeout not started never ran completed "
    "pending application/scrapbook.scrap.json+json application/json application/javascript "
    "application/vnd.dataresource text/plain text/html text/markdown text/latex image/svg+xml image/png "
    "image/jpeg output_type display_data execute_result execution_count stream stderr stdout traceback metadata "
    "cell_type markdown source outputs collapsed nbformat_minor kernelspec display_name language_info "
    "codemirror_mode file_extension mimetype pygments_lexer nbconvert_exporter injected-parameters papermill "
    "parameters duration exception start_time end_time input_path output_path default_parameters bigmama-banner "
    "raises-exception remove_input mongodb:// mongodb+srv:// https:// Traceback (most recent call last) "
    + " ".join(REASONS)
)


Document = TypeVar("Document")


@dataclass(frozen=True)
class _Shape:
    """A pattern; group 1, where there is one, is kept. Tried only where one of `hints` (lower case) stands."""

    hints: tuple[str, ...]
    pattern: str


_WORDS = r"(?:pass(?:word|wd|phrase)?|pwd|secret\w*|token|api_?key|access_?key)"

_URI = _Shape((":/", ":\\", "%3a"), LOGIN)

_TOKENS = (
    _Shape(("-----begin",), r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?:(?s:.){0,20000}?"
           r"-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|[A-Za-z0-9+/=\s\\]*)"),
    _Shape(("akia", "asia", "abia", "acca"), r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b"),
    _Shape(("secret",), r"(?i)(secret_?(?:access_?)?key\W{1,6})[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])"),
    _Shape(("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"\bgh[pousr]_[A-Za-z0-9]{36,255}"),
    _Shape(("github_pat_",), r"\bgithub_pat_[A-Za-z0-9_]{22,255}"),
    _Shape(("glpat-",), r"\bglpat-[A-Za-z0-9_-]{20,}"),
    _Shape(("xox", "xapp-"), r"\b(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{10,}"),
    _Shape(("hooks.slack.com",), r"(hooks\.slack\.com/(?:services|workflows|triggers)/)[A-Za-z0-9+/_-]{20,}"),
    _Shape(("/api/webhooks/",), r"(discord(?:app)?\.com/api/webhooks/\d+/)[\w-]{20,}"),
    _Shape((":aa",), r"\b\d{8,10}:AA[\w-]{33}"),
    _Shape(("eyj",), r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
    _Shape(("aiza",), r"\bAIza[0-9A-Za-z_-]{35}"),
    _Shape(("ya29.",), r"\bya29\.[0-9A-Za-z_-]{20,}"),
    _Shape(("gocspx-",), r"\bGOCSPX-[A-Za-z0-9_-]{28}"),
    _Shape(("accountkey=",), r"(?i)(AccountKey=)[A-Za-z0-9+/]{60,}=*"),
    _Shape(("sig=",), r"([?&]sig=)[A-Za-z0-9%+/=_-]{40,}"),
    _Shape(("_live_", "_test_"), r"\b[srp]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    _Shape(("sk-",), r"\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{32,}"),
    _Shape(("npm_",), r"\bnpm_[A-Za-z0-9]{36}"),
    _Shape(("pypi-",), r"\bpypi-[A-Za-z0-9_-]{50,}"),
    _Shape(("hf_",), r"\bhf_[A-Za-z0-9]{34}"),
    _Shape(("dapi",), r"\bdapi[0-9a-f]{32}"),
    _Shape(("sg.",), r"\bSG\.[\w-]{22}\.[\w-]{43}"),
    _Shape(("authorization",), r"(?i)(authorization\W{1,6}(?:basic|bearer|token)\s+)[A-Za-z0-9._~+/=-]{8,}"),
)  # fmt: skip

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://")
"""How an address begins; a password may hold `://` as well."""


class Redactor:
    """Hides secrets in texts, JSON documents and notebooks; threads may share one.

    A known value is found as it stands, with any of its characters escaped for JSON, Python, HTML or a URI, in base64,
    and with colour codes inside. Pictures are searched for values that stand in their bytes; what is drawn is not read.
    """

    def __init__(self, values: Iterable[str] = (), *, public: str = "") -> None:
        """Take the values that are secret.

        Args:
            public: what everybody may read, such as a profile: what stands there is no piece of a secret.
        """
        known = {value.strip() for value in values} - {""}
        known |= {part for value in known for part in _uri_parts(value)} - {""}
        self._shapes: list[_Shape] = []
        self._bytes: list[bytes] = []
        for value in sorted(known, key=lambda value: (-len(value), value)):
            if len(value) >= SHORTEST:
                self._shapes += [_Shape((_hint(value),), _spelled(value)), *_in_base64(value)]
                self._bytes.append(value.encode())
            else:
                behind = rf"((?i:{_WORDS})[\"']?\s*[:=]\s*[\"']?){_spelled(value)}(?![A-Za-z0-9])"
                self._shapes.append(_Shape((_hint(value),), behind))
        self._shapes += [_URI, *_TOKENS]
        # Of an address its host is no secret, and each error has to name it: its secret parts are in `known`.
        self._fragments = Fragments({one for one in known if not ADDRESS.match(one)}, f"{VOCABULARY} {public}")
        # One look for all the hints at once: nearly every text holds none.
        self._any_hint = re.compile("|".join(re.escape(hint) for shape in self._shapes for hint in shape.hints))
        # A record is searched each time that it is written, and its words are the same ones.
        self._short = lru_cache(maxsize=REMEMBERED)(self._hide_short)
        self._plain_keys = lru_cache(maxsize=1_000)(self._tell_nothing)

    @classmethod
    def of(cls, profile: Profile, environ: Mapping[str, str] | None = None) -> Redactor:
        """Return a redactor of every secret that a run with this profile knows.

        Args:
            profile: its `uri_env`, `notify` and `*_env` options name the variables.
            environ: the variables; None: this process's.
        """
        public = f"{profile.path} {profile.model_dump_json()}"
        return cls(secrets_of(profile, os.environ if environ is None else environ), public=public)

    def text(self, text: str) -> tuple[str, int]:
        """Return the text with every hit replaced by •••, and how many there were."""
        return self._short(text) if len(text) < LONG else self._hide(text)

    def _hide_short(self, text: str) -> tuple[str, int]:
        # Without a bracket there is no colour code: it is read as it stands.
        if "[" not in text and self._any_hint.search(text.lower()) is None and not self._fragments.spans(text):
            return text, 0
        return self._hide(text)

    def _tell_nothing(self, names: tuple[object, ...]) -> bool:
        """Return whether these keys of a document hold no secret."""
        return all(isinstance(name, str) and self.text(name) == (name, 0) for name in names)

    def document(self, document: Document) -> tuple[Document, int]:
        """Return a copy of what JSON holds (keys too) with every hit replaced, and how many there were."""
        return self._inside(document)

    def notebook(self, notebook: Document) -> tuple[Document, int]:
        """Return a copy of the whole notebook (sources, parameters, outputs, metadata) so treated, and the hits."""
        return self.document(notebook)

    def _inside(self, value: Any, key: str = "") -> tuple[Any, int]:
        hits = 0
        if isinstance(value, str):
            return self._picture(value) if key.startswith("image/") and "svg" not in key else self.text(value)
        if isinstance(value, dict):
            # Of the same class: a notebook's parts know their keys as attributes.
            clean = type(value)()
            known = self._plain_keys(tuple(value))
            for name, item in value.items():
                if item.__class__ not in _TELL_NOTHING:
                    item, inside = self._inside(item, str(name))
                    hits += inside
                if not known and isinstance(name, str):
                    name, at_name = self.text(name)
                    hits += at_name
                clean[name] = item
            return clean, hits
        if isinstance(value, list):
            items = [self._inside(item, key) for item in value]
            return [item for item, _ in items], sum(inside for _, inside in items)
        if isinstance(value, tuple):
            items = [self._inside(item, key) for item in value]
            return tuple(item for item, _ in items), sum(inside for _, inside in items)
        return value, hits

    def _picture(self, text: str) -> tuple[str, int]:
        # base64 by nature: searching it as a text would now and then hit by chance and break the picture.
        try:
            content = base64.b64decode(text)
        except ValueError:
            return self.text(text)
        return (MASK, 1) if any(value in content for value in self._bytes) else (text, 0)

    def _hide(self, text: str) -> tuple[str, int]:
        hits = 0
        seen: SeenText | None = None
        for shape in self._shapes:
            seen = seen or SeenText(text)
            if not any(hint in seen.lower for hint in shape.hints):
                continue
            found = list(_compiled(shape.pattern).finditer(seen.plain))
            if found:
                # What an earlier shape hid inside this one is counted already.
                hits += sum(MASK not in match.group()[_kept(match) :] for match in found)
                text, seen = seen.without([(match.start() + _kept(match), match.end()) for match in found]), None
        seen = seen or SeenText(text)
        if pieces := self._fragments.spans(seen.plain):
            text = seen.without(pieces)
        return text, hits + len(pieces)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _kept(match: re.Match[str]) -> int:
    return len(match.group(1)) if match.re.groups else 0


def _hint(value: str) -> str:
    return max(re.findall(r"[A-Za-z0-9]+", value), key=len, default="").lower()


def _spelled(value: str) -> str:
    """Return a pattern of the value with each character as it is or escaped, once or more, in any usual way."""
    return "".join(_character(character) for character in value)


@cache
def _character(character: str) -> str:
    if character.isascii() and character.isalnum():
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    ways = [
        r"\\{1,8}" if character == "\\" else r"\\{0,8}" + re.escape(character),
        "".join(f"%(?:25)*{_hex(f'{byte:02x}')}" for byte in character.encode("utf-8", "surrogatepass")),
        "".join(rf"\\+u{_hex(units[at : at + 2].hex())}" for at in range(0, len(units), 2)),
        rf"\\+U{_hex(f'{ord(character):08x}')}",
        rf"&#(?:0*{ord(character)}|[xX]0*{_hex(f'{ord(character):x}')});",
    ]
    if ord(character) < 256:
        ways.append(rf"\\+x{_hex(f'{ord(character):02x}')}")
    if not character.isascii():
        encoded = character.encode("utf-8", "surrogatepass")
        ways.append("".join(rf"\\+x{_hex(f'{byte:02x}')}" for byte in encoded))
    if (escaped := html.escape(character)) != character:
        ways.append(re.escape(escaped))
    if character in "\n\r\t":
        ways.append(r"\\+" + {"\n": "n", "\r": "r", "\t": "t"}[character])
    if character == " ":
        ways.append(r"\+")
    return f"(?:{'|'.join(ways)})"


def _hex(digits: str) -> str:
    return "".join(f"[{d}{d.upper()}]" if d.isalpha() else d for d in digits.lower())


def _in_base64(value: str) -> Iterator[_Shape]:
    # Within a longer text the value begins at any of three offsets; its first and last characters mix with neighbours.
    content = value.encode()
    for offset, mixed in enumerate((0, 2, 3)):
        whole = (offset + len(content)) * 8 // 6
        part = base64.b64encode(b"\0" * offset + content).decode()[mixed:whole]
        if len(part) >= 8:
            for spelled in {part, part.replace("+", "-").replace("/", "_")}:
                yield _Shape((_hint(spelled),), re.escape(spelled))


def secrets_of(profile: Profile, environ: Mapping[str, str]) -> set[str]:
    """Return the values of every secret that the run knows, and the parts of a URI that are one.

    They are the variables that the profile names (`uri_env`, `*_env` options, `notify`), and those of the environment
    whose name says that they hold a secret, because a kernel inherits them.
    """
    found: set[str] = set()
    for cluster in profile.clusters.values():
        if cluster.uri_env and (uri := environ.get(cluster.uri_env)):
            found |= {uri, *_uri_parts(uri)}
    options = (profile.warehouse.storage_options, profile.warehouse.metastore_options)
    for variable in (name for section in options for name in _env_names(section)):
        if value := environ.get(variable):
            found |= {value, *_uri_parts(value)}
    for variable in profile.notify:
        for address in addresses_in(environ.get(variable, "")):
            found |= {address, *_uri_parts(address), *_address_parts(address)}
    return (found | ambient_secrets(environ)) - {""}


def addresses_in(text: str) -> list[str]:
    """Return the addresses that a variable of `notify` holds: one, or several with blanks or commas between."""
    return re.split(r"[\s,;]+(?=\w+://)", text)


def ambient_secrets(environ: Mapping[str, str]) -> set[str]:
    """Return the values of the variables whose name says that they hold a secret, and the passwords in any URI."""
    named = {
        value
        for name, value in environ.items()
        if AMBIENT.search(name) and not NOT_A_SECRET.search(name)
        if len(value) >= AMBIENT_SHORTEST and not value.startswith("/")
    }
    within = {part for value in environ.values() if "://" in value for part in _uri_parts(value)}
    return named | {part for part in within if len(part) >= AMBIENT_SHORTEST}


def _env_names(options: object) -> Iterator[str]:
    if isinstance(options, Mapping):
        for key, value in options.items():
            if str(key).endswith("_env") and isinstance(value, str):
                yield value
            else:
                yield from _env_names(value)
    elif isinstance(options, list):
        for item in options:
            yield from _env_names(item)


def _uri_parts(uri: str) -> Iterator[str]:
    """Yield a URI's password and the secrets in its query, as they stand and percent-decoded."""
    _, scheme, rest = uri.partition("://")
    if not scheme:
        return
    _, _, tail = rest.partition("?")
    yield from _passwords(rest)
    for pair in tail.partition("#")[0].split("&"):
        key, _, value = pair.partition("=")
        if re.search(r"(?i)password|secret|token|key|sig", key):
            yield from {value, urllib.parse.unquote(value)}
        elif key == "authMechanismProperties":
            for item in urllib.parse.unquote(value).split(","):
                name, _, setting = item.partition(":")
                if re.search(r"(?i)token|secret|password", name):
                    yield setting


def _passwords(rest: str) -> Iterator[str]:
    """Yield what may be the password in a URI behind its scheme: to the last @ of its host, of its path, of it all.

    By the rules an @, a / or a ? is escaped in it. Where that was forgotten, a part of it would be taken for a host.
    """
    for end in ("/?#", "?", ""):
        authority = re.split(f"[{re.escape(end)}]", rest, maxsplit=1)[0] if end else rest
        userinfo, at, _ = authority.rpartition("@")
        _, colon, password = userinfo.partition(":")
        if at and colon and not re.match(r"\d{1,5}/", password):
            yield from {password, urllib.parse.unquote(password), urllib.parse.unquote_plus(password)}
            if end == "?":
                return


def _address_parts(address: str) -> Iterator[str]:
    """Yield the parts of an address in Apprise's form that look like tokens: slack://TokenA/TokenB/TokenC."""
    for part in re.split(r"[/@:?&=#]+", address.partition("://")[2]):
        mixed = re.search(r"\d", part) and re.search(r"[A-Za-z]", part)
        if (mixed and len(part) >= 8 and "." not in part) or len(part) >= 20:
            yield from {part, urllib.parse.unquote(part)}
