"""How a page is made and written: everything that comes from outside escaped, and never half a page to be read."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import jinja2
from markupsafe import Markup

from bigmama_nb.executor.seen_text import ANSI
from bigmama_nb.site import records
from bigmama_nb.site.compiled import keep_compiled

ASSETS = ("site.css", "site.js", "charts.js", "vega.js", "vega.LICENSES.txt")
SIGNS = {
    "ok": "✓",
    "suspect": "?",
    "not_ready": "○",
    "failed": "×",
    "skipped": "–",
    "partial": "◐",
    "running": "…",
    "abandoned": "!",
    "unreadable": "!",
    "timeout": "×",
    "killed": "×",
    "not started": "–",
}
LONG = 500
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,150}")


def clean(text: object) -> str:
    """Return a text without terminal colours and control characters, which a page cannot show."""
    return _CONTROL.sub("�", ANSI.sub("", "" if text is None else str(text)))


def told(text: object) -> Markup:
    """Return a text of any length as HTML: apart from its surroundings' direction, a long one folded."""
    said = clean(text)
    whole = Markup('<bdi class="told">{}</bdi>').format(said)
    if len(said) <= LONG:
        return whole
    return Markup("<details><summary><bdi>{}…</bdi></summary>{}</details>").format(said[: LONG // 2], whole)


def name(text: object, limit: int = 60) -> Markup:
    """Return a name as HTML, cut at so many characters."""
    said = clean(text)
    return Markup("<bdi>{}</bdi>").format(said if len(said) <= limit else f"{said[: limit - 1]}…")


@lru_cache(maxsize=4096)
def day(number: int | None) -> str:
    """Return `2024-05-01` of 20240501, `2024-05` of 202405; said where there is none."""
    if number is None:
        return "none"
    text = str(number)
    return f"{text[:4]}-{text[4:6]}" + (f"-{text[6:]}" if len(text) > 6 else "")


def number(value: float | None) -> str:
    """Return a number with separators; said where there is none."""
    return "none" if value is None else f"{value:,}"


@lru_cache(maxsize=256)
def sign(outcome: object) -> Markup:
    """Return an outcome as a word with its sign and colour."""
    word = "no outcome" if outcome is None else clean(outcome)
    known = word if word in SIGNS else "other"
    return Markup('<span class="outcome o-{}"><span aria-hidden="true">{}</span> {}</span>').format(
        known.replace(" ", "_"), SIGNS.get(word, "·"), word.replace("_", " ")
    )


@lru_cache(maxsize=4096)
def file_name(text: str) -> str:
    """Return a name for a file that stands for a text: itself where it can be one."""
    if _SAFE.fullmatch(text):
        return text
    return f"~{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:16]}"


def anchor(*parts: object) -> str:
    """Return the name of a place in a page: `wau-20240501`."""
    return "-".join(file_name(str(part)) for part in parts)


@dataclass(frozen=True)
class Writer:
    """Writes the pages of one archive, in the profile's zone."""

    root: Path
    zone: ZoneInfo

    def page(self, path: str, template: str, **values: Any) -> None:
        """Render a template into `root/path`."""
        made = self.at(datetime.now(UTC).isoformat())
        text = render(template, root="../" * path.count("/"), at=self.at, zone=self.zone.key, made=made, **values)
        self.write(path, text)

    def write(self, path: str, text: str) -> None:
        """Write a page so that a reader meets the old one or the whole new one."""
        replace(self.root / path, text.encode("utf-8", "replace"))

    def at(self, instant: str | None) -> str:
        """Return an instant of a record in the profile's zone."""
        found = records.instant(instant)
        return "none" if found is None else f"{found.astimezone(self.zone):%Y-%m-%d %H:%M:%S}"

    def assets(self) -> None:
        """Write what all pages share, where it is not there yet."""
        for asset in ASSETS:
            content = asset_text(asset).encode()
            target = self.root / "assets" / asset
            if not target.is_file() or target.stat().st_size != len(content) or target.read_bytes() != content:
                replace(target, content)


def asset_text(name: str) -> str:
    """Return what an asset holds."""
    return (resources.files("bigmama_nb.site") / "assets" / name).read_text(encoding="utf-8")


def render(template: str, **values: Any) -> str:
    """Return a template with its values, all of them escaped that are no markup."""
    return _environment().get_template(template).render(**values)


def replace(target: Path, content: bytes) -> None:
    """Replace a derived file: whole for its readers, not synced, since it can be made again."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        draft.write_bytes(content)
        draft.replace(target)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def drop_others(folder: Path, kept: set[Path]) -> None:
    """Delete the pages of a folder that no record has any more."""
    for page in folder.glob("*.html"):
        if page not in kept:
            page.unlink(missing_ok=True)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bigmama_nb.site"),
        autoescape=True,
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    keep_compiled(environment, __file__)
    filters: Mapping[str, Any] = {
        "told": told,
        "name": name,
        "day": day,
        "number": number,
        "sign": sign,
        "clean": clean,
        "file": lambda text: quote(file_name(text)),
        "url": lambda text: quote(clean(text), safe="/#=~"),
        "json": as_json,
    }
    environment.filters.update(filters)
    environment.globals.update(anchor=anchor, SIGNS=SIGNS)
    return environment


def as_json(data: object) -> Markup:
    """Return data as JSON that can stand in a script element of type application/json."""
    text = json.dumps(data, ensure_ascii=True)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))
