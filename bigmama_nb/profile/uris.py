"""Passwords in URIs: where they stand, also where nobody escaped what is in them."""

from __future__ import annotations

import re

MASK = "•••"

# To the next blank or quote, since a password may hold an @ or a / that nobody escaped; a host and its path stay where
# they stand behind the last @. Without any @ it is a cut one, or a host with its port.
_TO_THE_END = r"(?:\\(?![\"'])|[^\s\"'<>`\\])"
LOGIN = (
    r"((?::|%3[aA])(?:\\*/){2})[^\s/?#@\"'<>:\[]*:"
    rf"(?:(?!\d{{1,5}}(?:\\*[/?#])){_TO_THE_END}*(?=@)|(?!\d{{1,5}}(?![\w%+~$!*=-])|{MASK}){_TO_THE_END}+)"
)
"""A user and a password in a URI, whole or cut, in a text of any kind; group 1 stands before them."""


def without_passwords(text: str) -> str:
    """Return `text` with the user and password of every URI replaced."""
    return re.sub(LOGIN, rf"\1{MASK}", text)


def unescaped(uri: str) -> str | None:
    """Return a character of a URI's user or password that should be escaped; None where there is none.

    A driver would take a part of the password for a host, ask name servers for it and show it.
    """
    rest = uri.partition("://")[2]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    beyond = rest[len(authority) :]
    if "@" in beyond:
        return beyond[0]
    # Who escapes the @ before the host as well makes one long host of it all.
    hosts = authority.rpartition("@")[2]
    return _unescaped_login(authority) or next((one for one in ("%40", "%3A") if one in hosts.upper()), None)


def unescaped_address(address: str) -> str | None:
    """Return the same of an address in Apprise's form, in whose path and query an @ may stand (`/@channel`)."""
    rest = address.partition("://")[2]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    beyond = rest[len(authority) :]
    # user:12/34@host reads as a host with its port, and is asked for.
    if re.fullmatch(r"[^@:]+:\d{1,5}", authority) and "@" in beyond.partition("?")[0]:
        return beyond[0]
    return _unescaped_login(authority)


def _unescaped_login(authority: str) -> str | None:
    login, at, _ = authority.rpartition("@")
    if not at:
        return None
    user, _, password = login.partition(":")
    return next((one for one in "@:[]" if one in user or one in password), None)
