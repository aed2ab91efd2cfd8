"""What may stand behind the keys of a profile: names, days, sizes, places, and nothing that is a secret."""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from bigmama_nb.errors import did_you_mean
from bigmama_nb.profile.messages import refuse
from bigmama_nb.profile.uris import MASK, without_passwords

FIRST_DAY, LAST_DAY = dt.date(1970, 1, 1), dt.date(2199, 12, 31)
"""Between these every period, window and zone can be reckoned with."""


# What ZoneInfo takes beside the zones of places: the machine's own, and those that count leap seconds.
_OWN_ZONES = re.compile(r"(localtime|posixrules|Factory|posix/.*|right/.*)\Z")


def _name(text: str) -> str:
    # A name stands in task ids, paths and query comments: lw/wau/20240501.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", text):
        raise refuse(f"is {text!r}; expected letters, digits, '_', '-' or '.', beginning with a letter or digit")
    return text


def _variable(text: str) -> str:
    # The value is never shown: what stands here by mistake is often the secret itself.
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise refuse("is not the name of an environment variable (its value is not shown: it may be a secret)")
    return text


def _file_name(text: str) -> str:
    if "/" in text:
        raise refuse(f"is {text!r}; expected the name of a file, without '/'.")
    return text


def _zone(text: str) -> str:
    try:
        if _OWN_ZONES.match(text):
            raise ValueError
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        hint = did_you_mean(text, sorted(name for name in zoneinfo.available_timezones() if not _OWN_ZONES.match(name)))
        raise refuse(f"is {text!r}; expected a name of the tz database such as 'Asia/Seoul'.{hint}") from None
    return text


def _source_database(text: str) -> str:
    # What MongoDB's names of databases cannot hold; a dump's would be a folder elsewhere.
    if re.search(r'[/\\. "$]', text):
        raise refuse(f"is {text!r}; expected a name of MongoDB's, without / \\ . $, a quote or a blank")
    return text


def _database(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", text):
        raise refuse(f"is {text!r}; expected lower-case letters, digits and '_', beginning with a letter")
    return text


def _size(text: str) -> str:
    # No zero, and no size beyond what any machine has.
    if not re.fullmatch(r"(?i)(?=[\d.]*[1-9])\d{1,9}(\.\d{1,9})?\s*[KMGT]i?B", text):
        raise refuse(f"is {text!r}; expected a size such as '4GB'")
    return text


def _place(text: str) -> str:
    shown = without_passwords(text)
    # Of S3 there is no port, so that all before an @ is a login.
    shown = re.sub(r"(?i)^(s3\w*://)[^@]*:.*@", rf"\1{MASK}@", shown)
    if "@" in text and shown != text:
        raise refuse(f"is {shown!r}; a password never stands in a file: name its variable in the options")
    return text


def _address(text: str) -> str:
    if re.search(r"(?i)[;?&](token|password|secret|[a-z_]*key)=", text) or without_passwords(text) != text:
        raise refuse(
            "holds a secret (not shown); a secret never stands in a file: give it in Spark's own configuration"
        )
    return text


def is_metastore(address: str) -> bool:
    """Return whether an address is a metastore's: `thrift://host:port`."""
    found = re.match(r"thrift://[^/\s]+:(\d{1,5})(?!\d)", address)
    return found is not None and 0 < int(found[1]) < 65_536


def refuse_secrets(options: Mapping[str, Any], *, by_name: bool) -> None:
    """Refuse options that hold a secret; `by_name`: one that names its variable is fine."""
    for key in options:
        if re.search(r"secret|password|token|access[._-]?key", key, re.I) and not (by_name and key.endswith("_env")):
            instead = f"name its variable as {key + '_env'!r}" if by_name else "give it in Spark's own configuration"
            raise refuse(f"holds {key!r}; a secret never stands in a file: {instead}")


def _day(day: dt.date) -> dt.date:
    if not FIRST_DAY <= day <= LAST_DAY:
        raise refuse(f"is {day}; expected a day from {FIRST_DAY} to {LAST_DAY}")
    return day


Name = Annotated[str, Field(max_length=128), AfterValidator(_name)]
Variable = Annotated[str, AfterValidator(_variable)]
Day = Annotated[dt.date, AfterValidator(_day)]
Database = Annotated[str, Field(max_length=128), AfterValidator(_database)]
SourceDatabase = Annotated[str, Field(min_length=1), AfterValidator(_source_database)]
Size = Annotated[str, AfterValidator(_size)]
Place = Annotated[str, Field(min_length=1), AfterValidator(_place)]
Address = Annotated[str, Field(min_length=1), AfterValidator(_address)]
Zone = Annotated[str, AfterValidator(_zone)]
FileName = Annotated[str, Field(min_length=1), AfterValidator(_file_name)]
